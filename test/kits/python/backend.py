"""A backend that the Python kit guards, as test/kits/harness.ts describes: `backend.py flask|gunicorn|starlette SETTINGS`."""
import json
import logging
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, "kits/python")
from holdfast import Holdfast  # noqa: E402


def answer(claims, body, assertion):
    return {"sub": claims.get("sub"), "tier": claims["tier"], "bytes": len(body), "assertion": assertion}


def flask_app(kit):
    from flask import Flask, jsonify, request

    app = Flask(__name__)

    @app.route("/<path:path>", methods=["GET", "POST"])
    def any_path(path):
        return jsonify(answer(request.environ["holdfast"], request.get_data(), request.headers["Holdfast-Assertion"]))

    app.wsgi_app = kit.wsgi(app.wsgi_app)
    return app


def flask(kit):
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, flask_app(kit), threaded=True)
    print(f"listening {server.port}", flush=True)
    server.serve_forever()


def gunicorn(kit):
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self):
            self.cfg.set("bind", "127.0.0.1:0")
            self.cfg.set("threads", 4)
            self.cfg.set("loglevel", "error")
            self.cfg.set("when_ready", lambda server: print(f"listening {server.LISTENERS[0].getsockname()[1]}", flush=True))

        def load(self):
            return flask_app(kit)

    Server().run()


def starlette(kit):
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def any_path(request):
        said = answer(request.scope["holdfast"], await request.body(), request.headers["holdfast-assertion"])
        return JSONResponse(said)

    app = Starlette(routes=[Route("/{path:path}", any_path, methods=["GET", "POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening {listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(kit.asgi(app), log_level="error")).run(sockets=[listener])


settings = json.loads(sys.argv[2])
{"flask": flask, "gunicorn": gunicorn, "starlette": starlette}[sys.argv[1]](Holdfast(settings["issuer"], jwks_url=settings["jwks_url"], **settings["options"]))
