import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort } from "../../../test/support/free-port.ts";
import { httpBackend, type Backend } from "./fixtures/backend.ts";
import { bundle } from "./fixtures/bundle.ts";
import { authority, type Certificate } from "./fixtures/certificates.ts";
import { ask, eventually } from "./fixtures/client.ts";
import { askSecurely } from "./fixtures/secure.ts";

const own = authority();
let programs: Awaited<ReturnType<typeof bundle>>;
let folder = "";
beforeAll(async () => {
  programs = await bundle({ cli: "src/cli.ts" });
  folder = await mkdtemp(join(tmpdir(), "opencf-handover-"));
}, 60_000);
afterAll(async () => {
  await programs[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

interface Listening { readonly event: string; readonly pid: number; readonly port: number; readonly tls?: { readonly port: number } }

/** Several workers before one app, if wanted with a port for TLS besides. */
async function workers(count: number, app: Backend, secure = false) {
  const { cert, key } = (secure ? own?.sign("app.example.com") : { cert: "", key: "" }) as Certificate;
  const file = join(folder, `${app.port}.yml`);
  await writeFile(file, JSON.stringify({
    routes: { "app.example.com": [`127.0.0.1:${app.port}`] }, port: await freePort(),
    ...(secure ? { enable_ssl: true, ssl_port: await freePort(), tls_pem: [{ cert_chain: cert, private_key: key }] } : {}),
  }));
  const child = spawn(process.execPath, [programs.path("cli"), "-c", file, "--workers", String(count), "--json"], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (text: Buffer) => { out += text.toString(); });
  child.stderr.on("data", (text: Buffer) => { err += text.toString(); });
  const gone = new Promise((resolve) => child.on("close", resolve));
  const listening = (): Listening[] => out.split("\n").slice(0, -1).filter((line) => line.startsWith("{")).map((line) => JSON.parse(line) as Listening).filter(({ event }) => event === "listening");
  await eventually(() => listening().length === count || child.exitCode !== null, 30_000, () => err);
  return {
    listening, err: () => err, port: listening()[0]?.port ?? 0, tlsPort: listening()[0]?.tls?.port ?? 0,
    [Symbol.asyncDispose]: async () => { child.kill("SIGKILL"); await gone; },
  };
}

/** The answer, or the reason why there is none; one that does not come is a reason as well, long before the router would give the client up. */
const outcome = (asking: Promise<{ body: string }>): Promise<string> => Promise.race([
  asking.then(({ body }) => body, (error: NodeJS.ErrnoException) => error.code ?? String(error)),
  new Promise<string>((resolve) => { setTimeout(resolve, 15_000, "no answer").unref(); }),
]);

/** Longer than a connection takes to be on its way to a worker that does not move. */
const settled = (): Promise<unknown> => new Promise((resolve) => { setTimeout(resolve, 300); });

describe("a worker that is killed", () => {
  test("connections it was given and had not received are served by another", async () => {
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using program = await workers(3, app);
    const victim = program.listening()[1]?.pid ?? 0;
    process.kill(victim, "SIGSTOP");
    const asked = Array.from({ length: 12 }, () => outcome(ask(program.port)));
    await settled();
    process.kill(victim, "SIGKILL");
    expect(await Promise.all(asked)).toEqual(asked.map(() => "fine"));
    expect(program.err()).toContain("router.worker.died");
  }, 60_000);

  test.skipIf(own === undefined)("gets nothing any more, on no port", async () => {
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using program = await workers(3, app, true);
    const victim = program.listening()[0]?.pid ?? 0;
    const secure = (): Promise<string> => outcome(askSecurely(program.tlsPort, {}, { ca: own?.ca ?? "" }));
    process.kill(victim, "SIGSTOP");
    // Of the connections to the first port one is on its way to it; on the second it waits for its next.
    const asked = Array.from({ length: 6 }, () => outcome(ask(program.port)));
    await settled();
    process.kill(victim, "SIGKILL");
    const secured: string[] = [];
    for (let n = 0; n < 12; n += 1) secured.push(await secure());
    expect(secured).toEqual(secured.map(() => "fine"));
    expect(await Promise.all(asked)).toEqual(asked.map(() => "fine"));
  }, 60_000);

  test("with all the others: nobody waits", async () => {
    await using app = await httpBackend((_, response) => response.end("fine"));
    await using program = await workers(2, app);
    const victims = program.listening().map(({ pid }) => pid);
    for (const pid of victims) process.kill(pid, "SIGSTOP");
    const asked = Array.from({ length: 6 }, () => outcome(ask(program.port)));
    await settled();
    for (const pid of victims) process.kill(pid, "SIGKILL");
    for (const said of await Promise.all(asked)) expect(["ECONNRESET", "fine"]).toContain(said);
    await eventually(() => program.listening().length === 4, 30_000, program.err);
    expect(await outcome(ask(program.port))).toBe("fine");
  }, 60_000);
});
