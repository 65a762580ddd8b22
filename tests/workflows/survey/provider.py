"""An OPTIMADE provider on loopback: pages, filters of the kind that we ask, faults on demand."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit


def entry_of(name, atoms, **own):
    """Return a structure as OPTIMADE has it; provider's own fields by keyword."""
    symbols = atoms.get_chemical_symbols()
    kinds = sorted(set(symbols))
    return {
        "id": name,
        "type": "structures",
        "attributes": {
            "immutable_id": f"{name}-new",
            "elements": kinds,
            "nelements": len(kinds),
            "nsites": len(atoms),
            "dimension_types": [1, 1, 1],
            "lattice_vectors": atoms.cell.array.tolist(),
            "cartesian_site_positions": atoms.positions.tolist(),
            "species_at_sites": symbols,
            "species": [{"name": one, "chemical_symbols": [one], "concentration": [1.0]} for one in kinds],
            "structure_features": [],
            **own,
        },
    }


def fits(entry, question):
    """Return whether an entry passes ``elements HAS "Li" AND nelements=3 AND nsites<=200``."""
    given = entry.get("attributes", {}) if isinstance(entry, dict) else {}
    has = re.search(r'elements HAS "(\w+)"', question)
    count = re.search(r"nelements=(\d+)", question)
    most = re.search(r"nsites<=(\d+)", question)
    return not (
        (has and "elements" in given and has[1] not in given["elements"])
        or (count and given.get("nelements") not in (None, int(count[1])))
        or (most and given.get("nsites", 0) > int(most[1]))
    )


@contextmanager
def provider(entries, *, busy=0, refuses_foreign=False, links="object"):
    """Serve entries; yield the address and the list of requests, busy so many times first."""
    asked = []
    failures = iter([500] * busy)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            asked.append((parts.path, query))
            if next(failures, None) is not None:
                return self._answer(500, {"errors": [{"title": "busy"}]})
            if refuses_foreign and "_oqmd_" in query.get("response_fields", ""):
                return self._answer(400, {"errors": [{"detail": "unknown field"}]})
            start, size = int(query.get("page_offset", 0)), int(query.get("page_limit", 20))
            found = [one for one in entries if fits(one, query.get("filter", ""))]
            page = {"data": found[start : start + size], "links": {"next": None}}
            if start + size < len(found):
                following = f"http://{self.headers['Host']}{parts.path}?" + urlencode(
                    {**query, "page_offset": start + size}
                )
                page["links"]["next"] = {"href": following} if links == "object" else following
            return self._answer(200, page)

        def _answer(self, status, document):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.api+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
