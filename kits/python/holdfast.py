"""What a Python backend adds to believe only the gateway (docs/assertion.md): `Holdfast(...).asgi(app)` or `.wsgi(app)`."""
import asyncio, base64, collections, hashlib, io, json, threading, time, urllib.request
from joserfc import jwk, jws

SKEW = 5  # seconds that the gateway's clock and ours may differ
BODY = b'{"error":"Unauthorized"}'

def b64url(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

def demand(holds):
    if not holds: raise PermissionError  # nobody is told what was wrong

def meets(claims, tiers=None, bindings=None):
    """Does an assertion meet what a route demands? `both` is bound by DPoP and by a certificate; None: any."""
    bound = bindings is None or any(claims["binding"]["method"] in (one, "both") for one in bindings)
    return bound and (tiers is None or claims["tier"] in list(tiers))

class Holdfast:
    def __init__(self, issuer, audience, jwks_url, tiers=None, bindings=None, body_digest=False, single_use=False,
                 max_body=1 << 20, header="Holdfast-Assertion"):  # explained in kits/README.md
        self.issuer, self.audience, self.url, self.header = issuer, audience, jwks_url, header.lower()
        self.demands, self.body_digest, self.max_body = (tiers, bindings), body_digest, max_body
        self.keys, self.keys_end, self.fetch_due, self.fetching = {}, 0, 0, threading.Lock()
        self.single_use, self.seen, self.using = single_use, collections.OrderedDict(), threading.Lock()

    def key(self, kid):
        """Fetched after 10 minutes or at an unknown `kid`, then at most every 30 s, by one thread for all."""
        lacks = lambda: kid not in self.keys or time.monotonic() > self.keys_end
        if lacks():
            with self.fetching:
                if lacks() and time.monotonic() >= self.fetch_due:
                    self.fetch_due = time.monotonic() + 1  # should this one fail
                    with urllib.request.urlopen(self.url, timeout=5) as answer:
                        self.keys = {one["kid"]: jwk.ECKey.import_key(one) for one in json.loads(answer.read(65536))["keys"]}
                    self.keys_end, self.fetch_due = time.monotonic() + 600, time.monotonic() + 30
        demand(not lacks())
        return self.keys[kid]

    def check(self, assertions, method, target):
        """The claims, and whether a body must be held; `target` is as in the request line. Raises unless all of it is right."""
        segments = assertions[0].split(".")
        raw = [base64.urlsafe_b64decode(one + "=" * (-len(one) % 4)) for one in segments]
        # Each is the one way to write its bytes: a letter with unused bits would make two texts of one assertion.
        demand(len(assertions) == 1 and [b64url(one) for one in raw] == segments)
        head = json.loads(raw[0])
        demand((head["alg"], head["typ"], "crit" in head) == ("ES256", "holdfast+jwt", False))
        claims = json.loads(jws.deserialize_compact(assertions[0], self.key(head["kid"]), ["ES256"]).payload)
        now, iat, exp = time.time(), claims["iat"], claims["exp"]
        demand(type(iat) is type(exp) is int and iat <= now + SKEW and now < exp + SKEW)
        demand((claims["iss"], claims["aud"]) == (self.issuer, self.audience) and meets(claims, *self.demands))
        query = b64url(hashlib.sha256(target.partition("?")[2].encode()).digest()) if "?" in target else None
        demand((claims["htm"], claims["target"], claims.get("qsh")) == (method, target, query))
        if self.single_use:
            with self.using:
                while self.seen and next(iter(self.seen.values())) < now: self.seen.popitem(last=False)
                demand(isinstance(claims["jti"], str) and claims["jti"] not in self.seen)
                self.seen[claims["jti"]] = exp + SKEW
        return claims, "bdh" in claims or self.body_digest

    def held(self, claims, body):
        demand(len(body) <= self.max_body and claims.get("bdh") == (b64url(hashlib.sha256(body).digest()) if body else None))
        return body

    def asgi(self, app):
        async def guarded(scope, receive, send):
            if scope["type"] == "lifespan": return await app(scope, receive, send)
            try:
                found = [value.decode() for name, value in scope["headers"] if name.decode().lower() == self.header]
                target = b"?".join(one for one in (scope["raw_path"], scope["query_string"]) if one).decode()
                claims, holds = await asyncio.to_thread(self.check, found, scope.get("method", "GET"), target)
                holds = holds and scope["type"] == "http"
                body, more = b"", holds
                while more and len(body) <= self.max_body:
                    message = await receive()
                    body, more = body + message.get("body", b""), message.get("more_body", False)
                first = [{"type": "http.request", "body": self.held(claims, body)}] if holds else []
            except Exception:
                if scope["type"] == "websocket": return await send({"type": "websocket.close"})
                await send({"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]})
                return await send({"type": "http.response.body", "body": BODY})
            async def replay(): return first.pop() if first else await receive()
            await app({**scope, "holdfast": claims}, replay, send)
        return guarded

    def wsgi(self, app):
        def guarded(environ, start_response):
            try:
                found, target = environ["HTTP_" + self.header.upper().replace("-", "_")], environ.get("RAW_URI")
                claims, holds = self.check([found], environ["REQUEST_METHOD"], target or environ["REQUEST_URI"])
                if holds:
                    size = 1 << 62 if environ.get("wsgi.input_terminated") else abs(int(environ.get("CONTENT_LENGTH") or 0))
                    body = self.held(claims, environ["wsgi.input"].read(min(size, self.max_body + 1)))
                    environ.update({"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))})
            except Exception:
                start_response("401 Unauthorized", [("Content-Type", "application/json")])
                return [BODY]
            return app({**environ, "holdfast": claims}, start_response)
        return guarded
