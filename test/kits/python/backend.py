"""A backend that the Python kit guards, as test/kits/harness.ts describes: `backend.py SETTINGS`, Flask under WSGI."""
import json
import logging
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, "kits/python")
from flask import Flask, jsonify, request  # noqa: E402
from holdfast import Holdfast  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

logging.getLogger("werkzeug").setLevel(logging.ERROR)
settings = json.loads(sys.argv[1])
app = Flask(__name__)


@app.route("/<path:path>", methods=["GET", "POST"])
def answer(path):
    claims = request.environ["holdfast"]
    body = request.get_data()
    return jsonify(sub=claims.get("sub"), tier=claims["tier"], bytes=len(body), assertion=request.headers["Holdfast-Assertion"])


app.wsgi_app = Holdfast(settings["issuer"], jwks_url=settings["jwks_url"], **settings["options"]).wsgi(app.wsgi_app)
server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"listening {server.port}", flush=True)
server.serve_forever()
