"""A backend that the Python kit guards, as test/kits/harness.ts describes: `backend.py wsgi|asgi SETTINGS`; Flask under WSGI."""
import asyncio
import json
import logging
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, "kits/python")
from holdfast import Holdfast  # noqa: E402


def answer(claims, body, assertion):
    return {"sub": claims.get("sub"), "tier": claims["tier"], "bytes": len(body), "assertion": assertion}


def wsgi(kit):
    from flask import Flask, jsonify, request
    from werkzeug.serving import make_server

    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def any_path(path):
        return jsonify(answer(request.environ["holdfast"], request.get_data(), request.headers["Holdfast-Assertion"]))

    app.wsgi_app = kit.wsgi(app.wsgi_app)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"listening {server.port}", flush=True)
    server.serve_forever()


def asgi(kit):
    from asgi_server import serve

    async def app(scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        said = answer(scope["holdfast"], body, dict(scope["headers"])[b"holdfast-assertion"].decode())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    asyncio.run(serve(kit.asgi(app)))


settings = json.loads(sys.argv[2])
{"wsgi": wsgi, "asgi": asgi}[sys.argv[1]](Holdfast(settings["issuer"], jwks_url=settings["jwks_url"], **settings["options"]))
