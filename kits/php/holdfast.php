<?php
declare(strict_types=1);
require_once __DIR__ . '/memory.php';

/** What a PHP backend adds to believe only the gateway (docs/assertion.md): `$claims = (new Holdfast(...))->guard();`, first of all. */
final class Holdfast
{
    use HoldfastMemory;

    private const SKEW = 5; // seconds that the gateway's clock and ours may differ
    /** @var callable(): int */
    public $clock = 'time';

    /** Explained in kits/README.md; `folder` keeps the gateway's keys and each `jti`, and is one that this user alone writes to. */
    public function __construct(
        private string $issuer, private string $audience, private string $jwks_url, private string $folder,
        private ?array $tiers = null, private ?array $bindings = null, private bool $body_digest = false,
        private bool $single_use = false, private int $max_body = 1 << 20, private string $header = 'Holdfast-Assertion',
    ) {}

    /** The claims of this request; the script ends here when it did not come through the gateway just like this. */
    public function guard(): array
    {
        try {
            return $this->check($_SERVER, fn(): string => file_get_contents('php://input', false, null, 0, $this->max_body + 1));
        } catch (Throwable) { // nobody is told what was wrong
            http_response_code(401);
            header('Content-Type: application/json');
            exit('{"error":"Unauthorized"}');
        }
    }

    /** Does an assertion meet what a route demands? `both` is bound by DPoP and by a certificate; null: any. */
    public static function meets(array $claims, ?array $tiers = null, ?array $bindings = null): bool
    {
        $method = $claims['binding']['method'] ?? null;
        return ($tiers === null || in_array($claims['tier'] ?? null, $tiers, true))
            && ($bindings === null || in_array($method, $bindings, true) || ($method === 'both' && $bindings !== []));
    }

    /** Throws unless all of it is right. `$server` is as `$_SERVER`, `$read` gives the body. */
    public function check(array $server, callable $read): array
    {
        $assertion = $server['HTTP_' . strtoupper(strtr($this->header, '-', '_'))] ?? '';
        $parts = explode('.', $assertion);
        $raw = array_map(fn($part) => (string) base64_decode(strtr($part, '-_', '+/'), true), $parts);
        // The one way to write these bytes: a letter with unused bits would make two texts of one assertion.
        self::demand(count($parts) === 3 && array_map([self::class, 'base64url'], $raw) === $parts);
        $head = json_decode($raw[0], true, 16, JSON_THROW_ON_ERROR);
        self::demand(($head['alg'] ?? null) === 'ES256' && ($head['typ'] ?? null) === 'holdfast+jwt' && !array_key_exists('crit', $head));
        self::demand(is_string($head['kid'] ?? null) && strlen($raw[2]) === 64);
        $now = ($this->clock)();
        $numbers = self::der(substr($raw[2], 0, 32)) . self::der(substr($raw[2], 32));
        $signature = "\x30" . chr(strlen($numbers)) . $numbers;
        $key = $this->key($head['kid'], $now);
        self::demand(openssl_verify("$parts[0].$parts[1]", $signature, $key, OPENSSL_ALGO_SHA256) === 1);
        $claims = json_decode($raw[1], true, 64, JSON_THROW_ON_ERROR);
        [$iat, $exp] = [$claims['iat'] ?? null, $claims['exp'] ?? null];
        self::demand(is_int($iat) && is_int($exp) && $iat <= $now + self::SKEW && $now < $exp + self::SKEW);
        self::demand(($claims['iss'] ?? null) === $this->issuer && ($claims['aud'] ?? null) === $this->audience);
        self::demand(self::meets($claims, $this->tiers, $this->bindings));
        $target = $server['REQUEST_URI'];
        self::demand(($claims['htm'] ?? null) === $server['REQUEST_METHOD'] && ($claims['target'] ?? null) === $target);
        $query = explode('?', $target, 2)[1] ?? null;
        self::demand(($claims['qsh'] ?? null) === ($query === null ? null : self::hash($query)));
        if ($this->body_digest || array_key_exists('bdh', $claims)) {
            $body = $read(); // what PHP took for itself (multipart) is missing here, and refused
            self::demand((string) strlen($body) === (($server['CONTENT_LENGTH'] ?? '') ?: '0') && strlen($body) <= $this->max_body);
            self::demand(($claims['bdh'] ?? null) === ($body === '' ? null : self::hash($body)));
        }
        $jti = $claims['jti'] ?? null;
        self::demand(!$this->single_use || (is_string($jti) && $this->isFirst($jti, $exp + self::SKEW, $now)));
        return $claims;
    }

    private static function demand(bool $holds): void { $holds || throw new RuntimeException(); }
    private static function base64url(string $data): string { return rtrim(strtr(base64_encode($data), '+/', '-_'), '='); }
    private static function hash(string $data): string { return self::base64url(hash('sha256', $data, true)); }
    private static function der(string $number): string
    {
        $number = ltrim($number, "\0");
        if ($number === '' || ord($number) > 127) $number = "\0$number";
        return "\x02" . chr(strlen($number)) . $number;
    }
}
