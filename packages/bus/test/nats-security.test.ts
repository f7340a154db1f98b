import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type NatsTransportOptions, natsTransport } from "../src/nats-transport.ts";
import type { TransportEvent } from "../src/transport.ts";
import { type Certificates, makeCertificates, makeOperator, makeUserNkey } from "./fixtures/nats-credentials.ts";
import { hasNatsServer, startNatsServer } from "./fixtures/nats-server.ts";

const connect = (servers: string, options: Partial<NatsTransportOptions> = {}) => natsTransport({ servers, connectTimeoutMs: 3_000, reconnectWaitMs: 50, ...options })();

/** A refusal must come at once: well before the time for the first connection is over. */
async function refused(attempt: Promise<unknown>): Promise<void> {
  const began = Date.now();
  await expect(attempt).rejects.toMatchObject({ code: "BUS_UNAUTHORIZED", message: expect.not.stringMatching(/secret|SUA/) });
  expect(Date.now() - began).toBeLessThan(2_500);
}

async function works(attempt: ReturnType<typeof connect>): Promise<void> {
  await using bus = await attempt;
  let got = 0;
  bus.subscribe("works", () => got++);
  bus.publish("works", "");
  await bus.flush();
  expect(got).toBe(1);
}

describe.skipIf(!hasNatsServer())("who may speak to a NATS server", () => {
  test("user and password, as options or in the address", async () => {
    await using server = await startNatsServer({ config: 'authorization { user: me, password: "sec/ret@1" }' });
    const at = (login: string) => server.url.replace("//", `//${login}@`);
    await works(connect(server.url, { user: "me", password: "sec/ret@1" }));
    await works(connect(at("me:sec%2Fret%401")));
    await refused(connect(server.url, { user: "me", password: "secret" }));
    await refused(connect(at("me:secret")));
    await refused(connect(server.url, { waitForFirstServer: true }));
  });

  test("a token, as an option or in the address", async () => {
    await using server = await startNatsServer({ config: 'authorization { token: "secret-token" }' });
    await works(connect(server.url, { token: "secret-token" }));
    await works(connect(server.url.replace("//", "//secret-token@")));
    await refused(connect(server.url, { token: "secret" }));
  });

  test("an nkey, as text or as a file", async () => {
    const key = makeUserNkey();
    await using server = await startNatsServer({ config: `authorization { users: [{ nkey: ${key.publicKey} }] }` });
    const dir = mkdtempSync(join(tmpdir(), "opencf-nkey-"));
    writeFileSync(join(dir, "seed"), `${key.seed}\n`);
    await works(connect(server.url, { nkey: key.seed }));
    await works(connect(server.url, { nkey: join(dir, "seed") }));
    await refused(connect(server.url, { nkey: makeUserNkey().seed }));
    await refused(connect(server.url, { nkey: join(dir, "none") }));
    rmSync(dir, { recursive: true });
  });

  test("a credentials file, read anew for every connection", async () => {
    const operator = makeOperator();
    await using server = await startNatsServer({ config: operator.config, jetStream: false });
    const dir = mkdtempSync(join(tmpdir(), "opencf-creds-"));
    const file = join(dir, "user.creds");
    writeFileSync(file, operator.credentials());
    await works(connect(server.url, { credentials: file }));
    await works(connect(server.url, { credentials: readFileSync(file, "utf8").replaceAll("\n", "\r\n") }));
    await refused(connect(server.url, { credentials: makeOperator().credentials() }));
    await refused(connect(server.url, { credentials: "-----BEGIN nothing" }));

    writeFileSync(file, operator.credentials({ expiresInS: 2 }));
    await using bus = await connect(server.url, { credentials: file });
    const events: TransportEvent[] = [];
    bus.on((event) => events.push(event));
    writeFileSync(`${file}.new`, operator.credentials());
    renameSync(`${file}.new`, file);
    await expect.poll(() => events.at(-1)?.type, { timeout: 8_000 }).toBe("connected");
    expect(events.map(({ type }) => type)).toEqual(["error", "disconnected", "reconnecting", "connected"]);
    expect(events[0]).toMatchObject({ error: { code: "BUS_UNAUTHORIZED" } });
    rmSync(dir, { recursive: true });
  }, 15_000);

  test("credentials that are refused while running do not end the search for the bus", async () => {
    const config = (password: string) => `authorization { users: [{ user: me, password: ${password} }] }`;
    await using server = await startNatsServer({ config: config("one") });
    await using bus = await connect(server.url, { user: "me", password: "one" });
    const events: TransportEvent[] = [];
    bus.on((event) => events.push(event));
    let got = 0;
    bus.subscribe("back", () => got++);
    await bus.flush();
    server.configure(config("two"));
    const refusals = () => events.filter((event) => event.type === "error");
    await expect.poll(() => refusals().length, { timeout: 8_000 }).toBeGreaterThan(0);
    await expect.poll(() => bus.status).toBe("disconnected");
    // Many attempts later.
    await new Promise((done) => setTimeout(done, 600));
    expect(bus.status).toBe("disconnected");
    expect(refusals().length).toBeLessThanOrEqual(2);
    expect(refusals()[0]).toMatchObject({ error: { code: "BUS_UNAUTHORIZED" } });
    server.configure(config("one"));
    await expect.poll(() => bus.status, { timeout: 8_000 }).toBe("connected");
    bus.publish("back", "");
    await expect.poll(() => got).toBe(1);
  }, 20_000);

  test("what a user may not do is told, with the subject, and all else goes on", async () => {
    const permissions = "permissions: { publish: { deny: [\"dea.*.start\"] }, subscribe: { deny: [\"secret.>\"] } }";
    await using server = await startNatsServer({ config: `authorization { users: [{ user: router, password: p, ${permissions} }] }` });
    await using bus = await connect(server.url, { user: "router", password: "p" });
    const events: TransportEvent[] = [];
    bus.on((event) => events.push(event));
    let got = 0;
    bus.subscribe("fine", () => got++);
    bus.publish("dea.7.start", "{}");
    bus.subscribe("secret.x", () => undefined);
    bus.subscribe("secret.y", () => undefined, { queue: "q" });
    bus.publish("fine", "");
    await bus.flush();
    expect(got).toBe(1);
    await expect.poll(() => events).toEqual([
      { type: "error", operation: "publish", subject: "dea.7.start", error: expect.objectContaining({ code: "BUS_FORBIDDEN" }) },
      { type: "error", operation: "subscribe", subject: "secret.x", error: expect.objectContaining({ code: "BUS_FORBIDDEN" }) },
      { type: "error", operation: "subscribe", subject: "secret.y", error: expect.objectContaining({ code: "BUS_FORBIDDEN" }) },
    ]);
    expect(bus.status).toBe("connected");
  });
});

describe.skipIf(!hasNatsServer())("a NATS server with TLS", () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = makeCertificates();
  });
  afterAll(() => certificates[Symbol.dispose]());
  const file = (name: string) => certificates.file(name);
  const text = (name: string) => certificates.text(name);
  const config = (verify: boolean) => `tls { cert_file: "${file("server.pem")}", key_file: "${file("server.key")}", ca_file: "${file("ca.pem")}", verify: ${verify} }`;

  test("its certificate is checked, against a text or a file", async () => {
    await using server = await startNatsServer({ config: config(false) });
    await works(connect(server.url, { tls: { ca: text("ca.pem") } }));
    await works(connect(server.url.replace("nats:", "tls:"), { tls: { ca: file("ca.pem") } }));
    const wrong = { code: "BUS_CONNECT_FAILED", message: expect.stringContaining("certificate") };
    const began = Date.now();
    await expect(connect(server.url)).rejects.toMatchObject(wrong);
    await expect(connect(server.url, { tls: { ca: text("stranger.pem") } })).rejects.toMatchObject(wrong);
    await expect(connect(server.url, { tls: { ca: text("ca.pem"), serverName: "nats.example" } })).rejects.toMatchObject(wrong);
    await expect(connect(server.url, { tls: { ca: file("none.pem") } })).rejects.toMatchObject({ code: "BUS_CONNECT_FAILED", message: expect.stringContaining("tls.ca") });
    expect(Date.now() - began).toBeLessThan(2_500);
  });

  test("a server without TLS is named as such", async () => {
    await using server = await startNatsServer();
    for (const url of [server.url, server.url.replace("nats:", "tls:")])
      await expect(connect(url, { connectTimeoutMs: 300, tls: { ca: text("ca.pem") } })).rejects.toMatchObject({ code: "BUS_CONNECT_FAILED", message: expect.stringContaining("has no TLS") });
  });

  test("both sides show certificates, also after a restart", async () => {
    await using server = await startNatsServer({ config: config(true) });
    const own = { ca: file("ca.pem"), cert: file("client.pem"), key: file("client.key") };
    await works(connect(server.url, { tls: { ca: text("ca.pem"), cert: text("client.pem"), key: text("client.key") } }));
    await using bus = await connect(server.url, { tls: own });
    await expect(connect(server.url, { connectTimeoutMs: 500, tls: { ca: own.ca } })).rejects.toMatchObject({ code: "BUS_CONNECT_FAILED", message: expect.stringContaining("want a certificate of ours") });
    await expect(connect(server.url, { connectTimeoutMs: 500, tls: { ca: own.ca, cert: file("stranger.pem"), key: file("stranger.key") } })).rejects.toMatchObject({ code: "BUS_CONNECT_FAILED", message: expect.stringContaining("not accept our certificate") });
    await server.kill();
    await expect.poll(() => bus.status).toBe("disconnected");
    await server.restart();
    await expect.poll(() => bus.status, { timeout: 8_000 }).toBe("connected");
  }, 15_000);
});
