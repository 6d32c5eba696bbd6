"""A web server that answers everything, as small as one can be."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["DATABASE_URL"].encode())


HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
