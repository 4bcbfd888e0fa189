"""Puts requests to the Python kit, as test/kits/harness.ts describes: `run.py asgi` or `run.py wsgi`."""
import asyncio
import base64
import io
import json
import sys
import types

sys.dont_write_bytecode = True
sys.path.insert(0, "kits/python")
import holdfast  # noqa: E402


def asgi(kit, method, target, headers, body):
    path, _, query = target.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
    }
    # In two pieces, as a server may give it.
    half = len(body) // 2
    messages = [{"type": "http.request", "body": body[:half], "more_body": True}, {"type": "http.request", "body": body[half:]}]
    statuses = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def app(scope, receive, send):
        got, more = b"", True
        while more:
            message = await receive()
            got, more = got + message["body"], message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200 if got == body else 500, "headers": []})

    LOOP.run_until_complete(kit.asgi(app)(scope, receive, send))
    return statuses[0]


def wsgi(kit, method, target, headers, body):
    path, _, query = target.partition("?")
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_URI": target, "wsgi.input": io.BytesIO(body)}
    for name, value in headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key
        # A server joins fields of one name.
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    statuses = []

    def app(environ, start_response):
        start_response("200 OK" if environ["wsgi.input"].read() == body else "500 Changed", [])
        return []

    kit.wsgi(app)(environ, lambda status, _headers: statuses.append(int(status[:3])))
    return statuses[0]


LOOP = asyncio.new_event_loop()
SEND = {"asgi": asgi, "wsgi": wsgi}[sys.argv[1]]
settings, kits = {}, {}
for line in sys.stdin:
    said = json.loads(line)
    if "jwks_url" in said:
        settings = said
    elif "now" in said:
        clock = lambda now=said["now"]: now  # noqa: E731
        holdfast.time = types.SimpleNamespace(time=clock, monotonic=clock)
    else:
        options, request = said["options"], said["request"]
        name = json.dumps(options)
        if name not in kits or options["single_use"]:
            kits[name] = holdfast.Holdfast(**settings, **options)
        parts = request["method"], request["target"], request["headers"], base64.b64decode(request["body"])
        answers = [SEND(kits[name], *parts) for _ in range(2 if said.get("repeat") else 1)]
        print(json.dumps(answers), flush=True)
