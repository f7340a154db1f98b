import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { createValidator, type Validator, type ValidatorOptions } from "../src/validator.ts";
import { handClock, rsaKey, sign, startIssuer, userClaims, type TestIssuer, type TestKey } from "./fixtures/issuer.ts";

let first: TestKey, second: TestKey;
beforeAll(async () => { [first, second] = await Promise.all([rsaKey("k1"), rsaKey("k2")]); });

const open: TestIssuer[] = [];
afterEach(async () => { for (const issuer of open.splice(0)) await issuer[Symbol.asyncDispose](); });

async function scene(more: Partial<ValidatorOptions> = {}) {
  const uaa = await startIssuer([first]);
  open.push(uaa);
  const clock = handClock();
  const validator = createValidator({ issuer: uaa.issuer, audience: "orders", keysUrl: `${uaa.url}/token_keys`, clock, cacheMaxEntries: 0, ...more });
  const tokenOf = (key: TestKey, header: Record<string, unknown> = {}) =>
    sign(key, userClaims(uaa.issuer, { exp: Math.floor(clock.now() / 1000) + 100_000 }), header);
  const fetches = () => uaa.hits.get("/token_keys") ?? 0;
  return { uaa, clock, validator, tokenOf, fetches };
}

async function until(check: () => boolean | Promise<boolean>, limitMs = 10_000): Promise<void> {
  const end = Date.now() + limitMs;
  while (!(await check())) {
    if (Date.now() > end) throw new Error("not in time");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
function gate() {
  let release = (): void => {};
  const opened = new Promise<void>((resolve) => { release = resolve; });
  return { opened, release };
}
const codeOf = (validator: Validator, token: string) => validator.validate(token).then(() => "ok", (error: { code: string }) => error.code);

describe("stampede", () => {
  test("a hundred first callers cause one fetch", async () => {
    const { validator, tokenOf, fetches } = await scene();
    const token = await tokenOf(first);
    await Promise.all(Array.from({ length: 100 }, () => validator.validate(token)));
    expect(fetches()).toBe(1);
  });

  test("a hundred callers at renewal cause one fetch and do not wait for it", async () => {
    const { uaa, clock, validator, tokenOf, fetches } = await scene();
    const token = await tokenOf(first);
    await validator.validate(token);
    const { opened, release } = gate();
    uaa.on("/token_keys", async (_, response) => {
      await opened;
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ keys: [first.entry] }));
    });
    clock.advance(300_000);
    await Promise.all(Array.from({ length: 100 }, () => validator.validate(token)));
    await until(() => fetches() === 2);
    expect(validator.stats().staleServed).toBe(100);
    release();
    await until(() => validator.stats().keyFetchFailures === 0 && validator.stats().keyFetches === 2);
  });

  test("a hundred tokens with a hundred unknown keys cause no fetch within the cooldown, one after it", async () => {
    const { clock, validator, tokenOf, fetches } = await scene();
    await validator.validate(await tokenOf(first));
    const bad = await Promise.all(Array.from({ length: 100 }, (_, i) => tokenOf(first, { kid: `unknown-${i}` })));
    expect(new Set(await Promise.all(bad.map((token) => codeOf(validator, token))))).toEqual(new Set(["unknown_key"]));
    expect(fetches()).toBe(1);
    clock.advance(10_000);
    const fresh = await Promise.all(Array.from({ length: 100 }, (_, i) => tokenOf(first, { kid: `other-${i}` })));
    await Promise.all(fresh.map((token) => codeOf(validator, token)));
    expect(fetches()).toBe(2);
    expect(validator.stats().fetchesSpared).toBeGreaterThanOrEqual(100);
  });

  test("the same unknown key causes no second fetch for a minute", async () => {
    const { clock, validator, tokenOf, fetches } = await scene();
    const token = await tokenOf(first, { kid: "nobody" });
    expect(await codeOf(validator, token)).toBe("unknown_key");
    clock.advance(30_000);
    expect(await codeOf(validator, token)).toBe("unknown_key");
    expect(fetches()).toBe(1);
    clock.advance(31_000);
    expect(await codeOf(validator, token)).toBe("unknown_key");
    expect(fetches()).toBe(2);
  });

  test("wrong signatures cause no fetch", async () => {
    const { clock, validator, tokenOf, fetches } = await scene();
    await validator.validate(await tokenOf(first));
    clock.advance(60_000);
    const forged = await tokenOf(second, { kid: "k1" });
    for (let i = 0; i < 20; i += 1) expect(await codeOf(validator, forged)).toBe("bad_signature");
    expect(fetches()).toBe(1);
  });
});

describe("rotation", () => {
  test("a new key is found once the cooldown is over, the old one keeps working while it is published", async () => {
    const { uaa, clock, validator, tokenOf } = await scene();
    expect(await codeOf(validator, await tokenOf(first))).toBe("ok");
    uaa.keys = [second.entry, first.entry];
    clock.advance(10_001);
    expect(await codeOf(validator, await tokenOf(second))).toBe("ok");
    expect(await codeOf(validator, await tokenOf(first))).toBe("ok");
  });

  test("a key that was asked for too early is found after the next renewal", async () => {
    const { uaa, clock, validator, tokenOf } = await scene();
    const early = await tokenOf(second);
    expect(await codeOf(validator, early)).toBe("unknown_key");
    uaa.keys = [second.entry, first.entry];
    clock.advance(300_001);
    await codeOf(validator, await tokenOf(first));
    await until(() => validator.stats().keyFetches === 2);
    await until(() => uaa.hits.get("/token_keys") === 2);
    await until(async () => (await codeOf(validator, early)) === "ok");
  });

  test("a withdrawn key ends with the next renewal", async () => {
    const { uaa, clock, validator, tokenOf } = await scene();
    const old = await tokenOf(first);
    expect(await codeOf(validator, old)).toBe("ok");
    uaa.keys = [second.entry];
    clock.advance(300_001);
    await codeOf(validator, old);
    await until(async () => (await codeOf(validator, old)) === "unknown_key");
  });

  test("an unchanged document costs a 304", async () => {
    const { uaa, clock, validator, tokenOf } = await scene();
    const answers: number[] = [];
    uaa.on("/token_keys", (request, response) => {
      const status = request.headers["if-none-match"] === '"7"' ? 304 : 200;
      answers.push(status);
      response.writeHead(status, { etag: '"7"' }).end(status === 200 ? JSON.stringify({ keys: [first.entry] }) : undefined);
    });
    const token = await tokenOf(first);
    await validator.validate(token);
    clock.advance(300_001);
    await validator.validate(token);
    await until(() => answers.length === 2);
    expect(answers).toEqual([200, 304]);
    expect(await codeOf(validator, token)).toBe("ok");
  });

  test("keys given as PEM only are read", async () => {
    const { uaa, validator, tokenOf } = await scene();
    uaa.keys = [{ kid: "k1", kty: "RSA", alg: "SHA256withRSA", use: "sig", value: first.entry["value"] }];
    expect(await codeOf(validator, await tokenOf(first))).toBe("ok");
  });
});

test("a token with the new key waits for the renewal that is under way", async () => {
  const { uaa, clock, validator, tokenOf } = await scene();
  await validator.validate(await tokenOf(first));
  const { opened, release } = gate();
  uaa.on("/token_keys", async (_, response) => {
    await opened;
    response.end(JSON.stringify({ keys: [first.entry, second.entry] }));
  });
  clock.advance(300_001);
  await validator.validate(await tokenOf(first));
  await until(() => uaa.hits.get("/token_keys") === 2);
  const early = codeOf(validator, await tokenOf(second));
  release();
  expect(await early).toBe("ok");
});

describe("outage", () => {
  test("old keys serve, for a bounded time, and one attempt is made per back-off", async () => {
    const { uaa, clock, validator, tokenOf } = await scene({ keysMaxStaleMs: 3_600_000 });
    const token = await tokenOf(first);
    expect(await codeOf(validator, token)).toBe("ok");
    await uaa.stop();
    clock.advance(300_000);
    for (let i = 0; i < 50; i += 1) expect(await codeOf(validator, token)).toBe("ok");
    await until(() => validator.stats().keyFetchFailures === 1);
    for (let i = 0; i < 50; i += 1) expect(await codeOf(validator, token)).toBe("ok");
    expect(validator.stats().keyFetches).toBe(2);
    clock.advance(3_300_000);
    expect(await codeOf(validator, token)).toBe("keys_unavailable");
    const tried = validator.stats().keyFetches;
    for (let i = 0; i < 50; i += 1) expect(await codeOf(validator, token)).toBe("keys_unavailable");
    expect(validator.stats().keyFetches).toBe(tried);
    await uaa.start();
    clock.advance(30_000);
    expect(await codeOf(validator, token)).toBe("ok");
  });

  test("garbage does not evict good keys, and an unknown key is nobody's fault then", async () => {
    const { uaa, clock, validator, tokenOf } = await scene();
    const token = await tokenOf(first);
    expect(await codeOf(validator, token)).toBe("ok");
    await uaa.stop();
    clock.advance(10_001);
    expect(await codeOf(validator, await tokenOf(first, { kid: "new" }))).toBe("keys_unavailable");
    expect(await codeOf(validator, await tokenOf(first, { kid: "other" }))).toBe("keys_unavailable");   // within the back-off, without a fetch
    expect(validator.stats().keyFetches).toBe(2);
    expect(await codeOf(validator, await tokenOf(second, { kid: "k1" }))).toBe("bad_signature");
    expect(await codeOf(validator, token)).toBe("ok");
  });

  for (const [name, answer] of [
    ["an error page", [500, "text/html", "<h1>oops</h1>"]],
    ["no JSON", [200, "text/plain", "hello"]],
    ["no keys", [200, "application/json", `{"keys":[]}`]],
    ["only keys of no use", [200, "application/json", `{"keys":[{"kty":"MAC","kid":"m","value":"s"},null,7,{"kty":"RSA","n":"!!"}]}`]],
    ["a document without end", [200, "application/json", `{"keys":["${"x".repeat(300_000)}"]}`]],
  ] as const)
    test(`an issuer answering ${name} is unavailable, and is asked again after the back-off`, async () => {
      const { uaa, clock, validator, tokenOf } = await scene();
      uaa.on("/token_keys", (_, response) => void response.writeHead(answer[0], { "content-type": answer[1] }).end(answer[2]));
      const token = await tokenOf(first);
      expect(await codeOf(validator, token)).toBe("keys_unavailable");
      uaa.on("/token_keys", undefined);
      expect(await codeOf(validator, token)).toBe("keys_unavailable");
      clock.advance(1_001);
      expect(await codeOf(validator, token)).toBe("ok");
    });

  test("a document without end is cut, not swallowed", async () => {
    const { uaa, validator, tokenOf } = await scene();
    uaa.on("/token_keys", (_, response) => void response.end(JSON.stringify({ keys: [first.entry], pad: "x".repeat(300_000) })));
    expect(await codeOf(validator, await tokenOf(first))).toBe("keys_unavailable");
  });

  test("a silent issuer is given up after the limit", async () => {
    const { uaa, validator, tokenOf } = await scene({ keysTimeoutMs: 100 });
    uaa.on("/token_keys", () => {});
    const error = await validator.validate(await tokenOf(first)).catch((caught: unknown) => caught as Error);
    expect(error).toMatchObject({ code: "keys_unavailable", retryable: true });
    expect(((error as Error).cause as Error).message).toMatch(/100 ms/);
  });

  test("one caller may leave, the others get their answer", async () => {
    const { uaa, validator, tokenOf } = await scene();
    const { opened, release } = gate();
    uaa.on("/token_keys", async (_, response) => {
      await opened;
      response.end(JSON.stringify({ keys: [first.entry] }));
    });
    const token = await tokenOf(first);
    const leaver = new AbortController();
    const left = validator.validate(token, { signal: leaver.signal });
    const stays = validator.validate(token);
    await until(() => (uaa.hits.get("/token_keys") ?? 0) === 1);
    leaver.abort(new Error("tired"));
    await expect(left).rejects.toMatchObject({ code: "aborted", cause: new Error("tired") });
    release();
    expect((await stays).userId).toBe("u-1");
    await expect(validator.validate(token, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
  });

  test("discovery that was down is asked again", async () => {
    const uaa = await startIssuer([first]);
    open.push(uaa);
    const clock = handClock();
    const validator = createValidator({ issuer: uaa.issuer, audience: "orders", clock });
    uaa.on("/.well-known/openid-configuration", (_, response) => void response.writeHead(503).end());
    const token = await sign(first, userClaims(uaa.issuer));
    expect(await codeOf(validator, token)).toBe("keys_unavailable");
    uaa.on("/.well-known/openid-configuration", undefined);
    clock.advance(1_001);
    expect(await codeOf(validator, token)).toBe("ok");
  });

  test("a clock set back does not keep keys for ever", async () => {
    const { uaa, clock, validator, tokenOf } = await scene();
    const token = await tokenOf(first);
    await validator.validate(token);
    uaa.keys = [second.entry];
    clock.advance(-86_400_000);
    await codeOf(validator, token);
    await until(() => validator.stats().keyFetches === 2);
  });
});
