// What is missing of a page: landmarks, one first heading, names of controls and drawings, unique identifiers.
const bad = [];
for (const wanted of ["header", "nav[aria-label]", "main", "footer", "html[lang]", "a.skip"]) {
  if (!document.querySelector(wanted)) bad.push(`no ${wanted}`);
}
if (document.querySelectorAll("h1").length !== 1) bad.push("not one h1");
const isNamed = (element) =>
  element.getAttribute("aria-label") || element.textContent.trim() || (element.labels && element.labels.length);
const controls = "button, a[href], input:not([type=hidden]), select, textarea, [role=img], [role=region], progress";
for (const element of document.querySelectorAll(controls)) {
  if (!isNamed(element)) bad.push(`no name: ${element.outerHTML.slice(0, 90)}`);
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids) {
  // Plotly's own, inside its drawings.
  if (/^(defs|clip|legend|topdefs)/.test(id)) continue;
  if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push(`twice: ${id}`);
}
for (const table of document.querySelectorAll("table")) {
  if (!table.querySelector("th[scope]")) bad.push("table without heads");
}
return bad;
