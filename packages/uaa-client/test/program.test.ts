import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "../src/program.ts";
import { rsaKey, sign, startIssuer, userClaims, type TestIssuer, type TestKey } from "./fixtures/issuer.ts";

let key: TestKey, uaa: TestIssuer, good: string, dir: string;
beforeAll(async () => {
  key = await rsaKey("k1");
  uaa = await startIssuer([key]);
  good = await sign(key, userClaims(uaa.issuer));
  dir = await mkdtemp(join(tmpdir(), "opencf-token-"));
  await writeFile(join(dir, "password"), "from file\n");
  uaa.on("/oauth/token", (request, response, body) => {
    const form = new URLSearchParams(body);
    const basic = Buffer.from((request.headers.authorization ?? "").slice(6), "base64").toString();
    const ok = form.get("grant_type") === "password" ? form.get("username") === "ann" && form.get("password") === "from file" && basic === "cf:" : basic === "batch:s3cret";
    response.writeHead(ok ? 200 : 401, { "content-type": "application/json" })
      .end(JSON.stringify(ok ? { access_token: `token-of-${form.get("username") ?? "batch"}`, expires_in: 599, scope: "x" } : { error: "unauthorized", error_description: "Bad credentials" }));
  });
});
afterAll(async () => {
  await uaa?.[Symbol.asyncDispose]();
  if (dir) await rm(dir, { recursive: true });
});

async function cli(args: string[], stdin = "", env: Record<string, string> = {}) {
  let out = "", err = "";
  const code = await run(args, { env, readStdin: async () => stdin, out: (text) => { out += text; }, err: (text) => { err += text; }, now: () => 0 });
  return { code, out, err };
}

test("decode shows without believing", async () => {
  const forged = `${good.split(".").slice(0, 2).join(".")}.AAAA`;
  const { code, out } = await cli(["decode"], `bearer ${forged}\n`);
  expect(code).toBe(0);
  expect(out).toMatch(/^Not verified/);
  expect(out).toContain('"user_name": "ann"');
  expect(out).toMatch(/exp \d{4}-\d\d-\d\dT/);
  expect(JSON.parse((await cli(["decode", "--json"], forged)).out)).toMatchObject({ verified: false, claims: { user_id: "u-1" } });
});

test("validate says yes, and why not", async () => {
  const yes = await cli(["validate", "--url", uaa.url, "--audience", "orders", "--scope", "orders.read"], good);
  expect(yes).toMatchObject({ code: 0, err: "" });
  expect(yes.out).toContain("valid: user ann (u-1) through client cf");
  const no = await cli(["validate", "--issuer", uaa.issuer, "--audience", "billing", "--json"], good);
  expect(no.code).toBe(1);
  expect(JSON.parse(no.out)).toMatchObject({ ok: false, code: "wrong_audience" });
  const lacking = await cli(["validate", "--issuer", uaa.issuer, "--keys-url", `${uaa.url}/token_keys`, "--audience", "orders", "--scope", "orders.write"], good);
  expect(lacking).toMatchObject({ code: 1 });
  expect(lacking.err).toContain("insufficient_scope");
});

test("get prints the token and nothing else", async () => {
  expect(await cli(["get", "--client-credentials", "--url", uaa.url, "--client-id", "batch"], "", { OPENCF_CLIENT_SECRET: "s3cret" }))
    .toEqual({ code: 0, out: "token-of-batch\n", err: "" });
  expect(await cli(["get", "--password", "--username", "ann", "--password-file", join(dir, "password"), "--url", uaa.url]))
    .toEqual({ code: 0, out: "token-of-ann\n", err: "" });
  const no = await cli(["get", "--password", "--username", "ann", "--url", uaa.url], "", { OPENCF_PASSWORD: "wrong-one" });
  expect(no).toMatchObject({ code: 1, out: "" });
  expect(no.err).toContain("grant_refused");
  expect(no.err).not.toContain("wrong-one");
});

test("asked wrongly", async () => {
  for (const args of [
    [], ["nonsense"], ["decode", "extra"], ["decode", "--url", "http://x"], ["validate"], ["validate", "--audience", "a"], ["get"], ["get", "--password", "--client-credentials", "--url", "http://x"],
    ["get", "--client-credentials"], ["get", "--client-credentials", "--url", "ftp://x"], ["get", "--password", "--url", "http://x"], ["get", "--client-credentials", "--url", uaa.url, "--timeout-ms", "soon"],
    ["--frobnicate"], ["constructor"], ["get", "--password", "--username", "a", "--password-file", join(dir, "absent"), "--url", uaa.url],
    ["validate", "--audience", "a", "--url", uaa.url, "--clock-tolerance-seconds", "99"],
  ]) {
    const { code, out } = await cli(args, good);
    expect([args, code, out]).toEqual([args, 2, ""]);
  }
});

test("help teaches", async () => {
  const { code, out } = await cli(["--help"]);
  expect(code).toBe(0);
  for (const word of ["decode", "validate", "get", "Examples", "Exit codes"]) expect(out).toContain(word);
});
