"""As much of an ASGI server as the kit's tests need: HTTP/1.1 with a Content-Length, one request for each connection."""
import asyncio


async def answer(app, reader, writer):
    try:
        line, *fields = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
    except asyncio.IncompleteReadError:  # opened and closed again
        return writer.close()
    method, target, _ = line.split(b" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
    path, _, query = target.partition(b"?")
    left = int(dict(headers).get(b"content-length", 0))

    async def receive():
        nonlocal left
        chunk = await reader.read(min(left, 16384)) if left else b""
        left -= len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": left > 0}

    async def send(message):
        if message["type"] == "http.response.start":
            lines = [b"%s: %s\r\n" % pair for pair in [*message["headers"], (b"connection", b"close")]]
            writer.write(b"HTTP/1.1 %d -\r\n%s\r\n" % (message["status"], b"".join(lines)))
        else:
            writer.write(message.get("body", b""))

    scope = {"type": "http", "method": method.decode(), "path": path.decode(), "raw_path": path, "query_string": query}
    await app({**scope, "headers": headers}, receive, send)
    while left:
        await receive()
    writer.close()


async def serve(app):
    server = await asyncio.start_server(lambda reader, writer: answer(app, reader, writer), "127.0.0.1", 0)
    print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()
