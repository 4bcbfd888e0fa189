<?php
declare(strict_types=1);

/** What a kit remembers, for all processes of a pool: the gateway's keys, and each `jti` that was used; in files, for PHP has nothing else. */
trait HoldfastMemory
{
    /** Fetched after 10 minutes or at an unknown `kid`, then at most every 30 s, by one process for all; as PEM. */
    private function key(string $kid, int $now): string
    {
        self::demand((fileperms($this->folder) & 0022) === 0); // else others could name keys to believe
        $file = $this->folder . '/keys-' . hash('sha256', $this->jwks_url);
        $known = fn(): array => json_decode((string) @file_get_contents($file), true) ?? ['keys' => [], 'end' => 0, 'due' => 0];
        $lacks = fn(array $kept): bool => $now >= $kept['end'] || !isset($kept['keys'][$kid]);
        $keep = fn(array $kept): bool => file_put_contents("$file.new", json_encode($kept)) && rename("$file.new", $file);
        $lock = $lacks($kept = $known()) ? fopen("$file.lock", 'c') : null; // let go of when this function ends
        if ($lock && flock($lock, LOCK_EX) && $lacks($kept = $known()) && $now >= $kept['due']) {
            $keep(['due' => $now + 1] + $kept); // should this one fail
            $answer = @file_get_contents($this->jwks_url, false, stream_context_create(['http' => ['timeout' => 5]]), 0, 65536);
            $keys = array_column(json_decode((string) $answer, true, 16, JSON_THROW_ON_ERROR)['keys'], null, 'kid');
            $keep($kept = ['keys' => $keys, 'end' => $now + 600, 'due' => $now + 30]);
        }
        self::demand(!$lacks($kept) && $kept['keys'][$kid]['crv'] === 'P-256');
        ['x' => $x, 'y' => $y] = array_map(fn($text) => base64_decode(strtr((string) $text, '-_', '+/')), $kept['keys'][$kid]);
        // An EC key on P-256 in DER up to its point (RFC 5480), and the point.
        $der = hex2bin('3059301306072a8648ce3d020106082a8648ce3d03010703420004') . $x . $y;
        return "-----BEGIN PUBLIC KEY-----\n" . base64_encode($der) . "\n-----END PUBLIC KEY-----\n";
    }

    /** A file for each `jti`, in a folder for the minute in which it ends. */
    private function isFirst(string $jti, int $end, int $now): bool
    {
        $minute = "$this->folder/jti-" . intdiv($end, 60);
        foreach (@mkdir($minute, 0700) ? glob("$this->folder/jti-*") : [] as $old) {
            if ((int) substr(strrchr($old, '-'), 1) >= intdiv($now, 60)) continue;
            foreach (glob("$old/*") as $file) @unlink($file);
            @rmdir($old);
        }
        return @fopen("$minute/" . hash('sha256', $jti), 'x') !== false;
    }
}
