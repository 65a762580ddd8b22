// Texts whose contrast to their background is below what WCAG 2.1 (1.4.3) asks for; arguments: least, least for large.
const [least, leastForLarge] = arguments;
const LARGE_PX = 24;
const bad = [];
const numbers = (text) => (text.match(/[\d.]+/g) || []).map(Number);
const luminance = (colour) =>
  colour
    .slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
const background = (element) => {
  for (let behind = element; behind; behind = behind.parentElement) {
    const colour = numbers(getComputedStyle(behind).backgroundColor);
    if (colour.length === 3 || colour[3] > 0.5) return colour;
  }
  return [255, 255, 255];
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim();
  const element = walker.currentNode.parentElement;
  const isHidden = element.closest("script, svg, noscript, .visually-hidden, .skip, template") || !element.offsetParent;
  if (!text || isHidden) continue;
  const style = getComputedStyle(element);
  const pair = [luminance(numbers(style.color)), luminance(background(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  const wanted = parseFloat(style.fontSize) >= LARGE_PX ? leastForLarge : least;
  if (ratio < wanted) bad.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
}
return bad;
