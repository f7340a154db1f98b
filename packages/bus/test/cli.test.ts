import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Bus, createBus, createComponent, natsTransport } from "@opencf/bus";
import { deaHeartbeat, deaStartInstance, routerGreet, routerRegister } from "@opencf/bus/messages";
import { join as joinPresence } from "@opencf/bus/presence";
import { type Program, useCli } from "./fixtures/cli-program.ts";
import { hasNatsServer, type NatsServer, startNatsServer } from "./fixtures/nats-server.ts";

const { start, run } = useCli();
const within = { timeout: 15_000 };
const documents = (out: string): Record<string, unknown>[] => out.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>);

test.each<[string[], number, RegExp]>([
  [["--help"], 0, /tap --timeline INSTANCE/], [[], 0, /Usage/], [["--version"], 0, /^\d+\.\d+\.\d+\n$/], [["tap", "--help"], 0, /--only-invalid[^]*Examples/], [["help", "pub"], 0, /opencf-bus pub router\.register/],
  [["messages"], 0, /^router\.register /m], [["messages", "dea.7.start"], 0, /limits\.mem +required +integer/], [["messages", "router.registr"], 2, /did you mean router\.register\?/],
  [["messages", "router.greet", "--json"], 0, /"subject":"router\.greet"/], [["permissions"], 0, /^router +routes requests/m], [["permissions", "router"], 0, /permissions: \{[^]*"router\.greet"/],
  [["permissions", "ruter"], 2, /did you mean router\?/], [["permissions", "--config"], 0, /^authorization \{[^]*NATS_ROUTER_PASSWORD/m], [["permissions", "router", "--json"], 0, /^\{"role":"router","publish":/],
  [["tpa"], 2, /did you mean tap\?/], [["fly"], 2, /"fly" is no command/], [["--nats", "x"], 2, /the command comes first/], [["tap", "--what"], 2, /--what[^]*tap --help/], [["tap", "a..b"], 2, /no subject pattern/],
  [["tap", "--for", "soon"], 2, /--for takes a time/], [["tap", "--count", "0"], 2, /--count/], [["tap", "--color", "red"], 2, /auto, always or never/], [["tap", "--from", "x"], 2, /belong to --timeline/],
  [["tap", "--timeline", "i1i1", "--from", "/no/such/file"], 2, /cannot be read \(ENOENT\)/], [["pub"], 2, /a subject is needed/], [["pub", "a.*", "{}"], 2, /no subject that can be spoken to/],
  [["pub", "router.register", "{"], 2, /not JSON/], [["pub", "router.register", '{"host":1}'], 2, /uris[^]*host: must be string[^]*--force/], [["request", "x", "{}", "-H", "wrong"], 2, /Name: value/],
  [["components", "x"], 2, /takes no words/], [["components", "--creds", "/no/such"], 2, /--creds: .*ENOENT/], [["components", "--tls-cert", "x"], 2, /go together/],
])("%j ends with %i", async (args, code, text) => {
  const { code: ended, out, err } = await run(...args);
  expect([ended, out + err]).toEqual([code, expect.stringMatching(text)]);
});

test("no server: exit code 1, and no password in what is said", async () => {
  const { code, err } = await run("components", "--nats", "nats://u:geheim@127.0.0.1:1", "--timeout", "300ms");
  expect([code, err]).toEqual([1, expect.stringMatching(/no NATS server answers/)]);
  expect(err).not.toContain("geheim");
});

test("a timeline from a saved file, and from standard input", async () => {
  const folder = mkdtempSync(join(tmpdir(), "opencf-cli-"));
  const file = join(folder, "saved.jsonl");
  const line = (at: number, message: string, body: object) => JSON.stringify({ at: new Date(at).toISOString(), subject: message.replace("{id}", "d1"), message, valid: true, trace: "t", id: `m${at}`, body });
  const text = [line(1, "dea.{id}.start", { droplet: "app1", index: 0, name: "shop" }), "not JSON", line(5, "router.register", { host: "h", port: 1, uris: ["u"], app: "app1", private_instance_id: "i1i1i1" })].join("\n");
  writeFileSync(file, text);
  try {
    const { code, out, err } = await run("tap", "--timeline", "i1i1i1", "--from", file);
    expect([code, out, err]).toEqual([0, expect.stringMatching(/2 messages in 4ms[^]*\+0\.000 .*dea\.d1\.start .*"shop"[^]*\+0\.004 .*router\.register/), expect.stringMatching(/1 lines? of .* left out/)]);
    const piped = await start(["tap", "--timeline", "any", "--from", "-", "--json"], { input: text }).ended;
    expect(documents(piped.out)).toMatchObject([{ ms: 0, subject: "dea.d1.start" }, { ms: 4, subject: "router.register" }]);
    expect(await run("tap", "--timeline", "nobody", "--from", file)).toMatchObject({ code: 1, err: expect.stringMatching(/nothing that belongs to nobody/) });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe.skipIf(!hasNatsServer())("with a real nats-server (apt-get install nats-server)", () => {
  let server: NatsServer;
  let bus: Bus;
  beforeAll(async () => {
    server = await startNatsServer();
    bus = await createBus({ transport: natsTransport({ servers: server.url }), name: "dea/0" });
  });
  afterAll(async () => {
    await bus?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });
  const at = (...args: string[]): string[] => [...args, "--nats", server.url];
  /** Taps once it listens. */
  const listening = async (...args: string[]): Promise<Program> => {
    const program = start(at("tap", ...args));
    await expect.poll(() => program.err, within).toMatch(/listening/);
    return program;
  };
  const registration = { host: "10.0.0.7", port: 8080, uris: ["shop.example.com"] };

  test("tap: valid, v1, invalid, unknown and secret things, until TERM", async () => {
    const tap = await listening("router.>", "foo.>", "dea.>");
    const json = await listening("--json");
    bus.publish(routerRegister, registration);
    bus.transport.publish("dea.heartbeat", JSON.stringify({ dea: "d", droplets: [{ droplet: 17, version: "abc-1", instance: "i", index: 0, state: "RUNNING", state_timestamp: 1 }] }));
    bus.transport.publish("router.register", '{"host":1,"uris":[]}');
    bus.transport.publish("foo.bar", '{"password":"geheim","url":"https://h/p?sig=geheim","n":1}', { headers: { "Opencf-Sender": "x\x07y" } });
    bus.transport.publish("other.bar", "{}");
    await expect.poll(() => tap.out, within).toMatch(/foo\.bar/);
    await expect.poll(() => json.out, within).toMatch(/other\.bar/);
    expect(tap.out).toMatch(/^ +\+\d+\.\d{3} {3}router\.register +10\.0\.0\.7:8080 {2}shop\.example\.com/m);
    expect(tap.out).toMatch(/ {3}dea\.heartbeat +from d {2}RUNNING i #0 app 17$/m);
    expect(tap.out).toMatch(/ ! router\.register .*invalid: host: must be string/);
    expect(tap.out).toMatch(/ \? foo\.bar +password=\*\*\* url=https:\/\/h\/p\?\*\*\* n=1 {2}from x\\x07y/);
    expect(tap.out + json.out).not.toContain("geheim");
    expect(tap.out).not.toContain("other.bar");
    expect(documents(json.out)).toMatchObject([
      { subject: "router.register", valid: true, body: registration }, { subject: "dea.heartbeat", valid: true }, { valid: false, issues: ["host: must be string"] }, { message: null, valid: null }, { subject: "other.bar" },
    ]);
    tap.child.kill("SIGTERM");
    json.child.kill("SIGINT");
    expect(await tap.ended).toMatchObject({ code: 0, err: expect.stringMatching(/4 heard, 4 shown, 1 invalid/) });
    expect(await json.ended).toMatchObject({ code: 0 });
  });

  test("tap: only what is asked for, so many, so long", async () => {
    const tap = await listening("--only-invalid", "--count", "1", "--full");
    const filtered = await listening("--filter", "SHOP", "--count", "2", "--time", "clock");
    const timed = start(at("tap", "--for", "100ms"));
    for (const uris of [["a"], ["shop.a"], ["b"], ["shop.b"], ["shop.c"]]) bus.publish(routerRegister, { ...registration, uris });
    bus.transport.publish("router.register", '{"host":1,"uris":[]}');
    bus.transport.publish("router.register", '{"host":2,"uris":[]}');
    const { code, out } = await tap.ended;
    expect([code, out]).toEqual([0, expect.stringMatching(/^.* ! router\.register .*\n {12}\{"host":1,"uris":\[\]\}\n$/)]);
    expect((await filtered.ended).out.split("\n")).toEqual([expect.stringMatching(/^\d\d:\d\d:\d\d\.\d{3} .*shop\.a/), expect.stringMatching(/shop\.b/), ""]);
    expect(await timed.ended).toMatchObject({ code: 0 });
  });

  test("tap --replies: an answer under the name of its request", async () => {
    using _router = bus.subscribe(routerGreet, ({ respond }) => void respond({ id: "r1", hosts: ["h"], minimumRegisterIntervalInSeconds: 20, pruneThresholdInSeconds: 120 }));
    await bus.flush();
    const tap = await listening("--replies", "--count", "2", "--json");
    const silent = await listening("--filter", "r1");
    const { code, out } = await run(...at("request", "router.greet"));
    expect([code, documents(out)]).toMatchObject([0, [{ id: "r1", pruneThresholdInSeconds: 120 }]]);
    const [question, answer] = documents((await tap.ended).out);
    expect(question).toMatchObject({ subject: "router.greet", answers: null, sender: "opencf-bus", valid: true });
    expect(answer).toMatchObject({ subject: question?.["reply"], answers: "router.greet", message: "router.greet", valid: true, sender: "dea/0", trace: question?.["trace"], cause: question?.["id"] });
    silent.child.kill();
    expect((await silent.ended).out).toBe("");
  });

  test("a reader that has enough, as head, ends the tap quietly", async () => {
    const tap = await listening();
    bus.publish(routerRegister, registration);
    await expect.poll(() => tap.out, within).toMatch(/router\.register/);
    tap.child.stdout.destroy();
    const told = setInterval(() => bus.publish(routerRegister, registration), 20);
    try {
      const { code, err } = await tap.ended;
      expect([code, err]).toEqual([0, expect.not.stringMatching(/EPIPE|Error/)]);
    } finally {
      clearInterval(told);
    }
  });

  test("tap survives that the bus goes away, and says so", async () => {
    await using own = await startNatsServer();
    const tap = start(["tap", "--nats", own.url]);
    await expect.poll(() => tap.err, within).toMatch(/listening/);
    await own.kill();
    await expect.poll(() => tap.err, within).toMatch(/the bus is away/);
    await own.restart();
    await expect.poll(() => tap.err, within).toMatch(/the bus is back after/);
    await expect.poll(async () => {
      await run("pub", "foo", "--nats", own.url);
      return tap.out;
    }, within).toMatch(/\? foo/);
    tap.child.kill("SIGINT");
    expect(await tap.ended).toMatchObject({ code: 0 });
  });

  test("a start as a live timeline", async () => {
    await using controller = await createBus({ transport: natsTransport({ servers: server.url }), name: "controller/0" });
    using _dea = bus.subscribe(deaStartInstance, ({ respond, body }) => {
      respond({ accepted: true });
      bus.publish(routerRegister, { ...registration, app: String(body.droplet), private_instance_id: "i7i7i7i7", private_instance_index: "0" });
    });
    await bus.flush();
    const timeline = await listening("--timeline", "any", "--quiet", "700ms");
    await controller.request(deaStartInstance, { droplet: "app7", version: "v", index: 0, name: "shop", limits: { mem: 64, disk: 64, fds: 16 } }, { params: { id: "d7" } });
    bus.publish(deaHeartbeat, { dea: "d7", droplets: [{ droplet: "app7", version: "v", instance: "i7i7i7i7", index: 0, state: "RUNNING", state_timestamp: 1 }] });
    const { code, out } = await timeline.ended;
    const lines = out.split("\n");
    expect(code).toBe(0);
    expect(lines[0]).toMatch(/app app7 +instance i7i7i7i7 +trace .* 4 messages/);
    expect(lines.find((line) => line.includes("dea.d7.start"))).toMatch(/^ +\+0\.000 {2}controller\/0 -> executor d7 /);
    expect(lines.find((line) => line.includes("accepted"))).toMatch(/^ +\+0\.\d{3} {4}dea\/0 -> controller\/0 +answer/);
    expect(lines.find((line) => line.includes("router.register"))).toMatch(/^ +\+0\.\d{3} {4}dea\/0 -> router/);
    expect(lines.find((line) => line.includes("dea.heartbeat"))).toMatch(/RUNNING i7i7i7i7 #0/);
  });

  test("a timeline that never begins ends with Ctrl-C and exit code 1", async () => {
    const timeline = await listening("--timeline", "nobody");
    timeline.child.kill("SIGINT");
    expect(await timeline.ended).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/nothing that belongs to nobody/) });
  });

  test("components: who is there, without credentials", async () => {
    await using _component = await createComponent(bus, { type: "Router", index: 4, password: "geheim", version: "1.2.3", zone: "z1" });
    const listed = await run(...at("components", "--wait", "400ms"));
    expect(listed.out).toMatch(/^TYPE +INDEX +HOST +UP +SINCE +VERSION +ZONE\nRouter +4 +127\.0\.0\.1:\d+ .* 1\.2\.3 +z1\n$/);
    await using _present = joinPresence(bus, { type: "UAA", index: 2, zone: "z2", version: "77" });
    const { out } = await run(...at("components", "--wait", "1s", "--json"));
    expect(documents(out)).toMatchObject([{ type: "Router", index: 4, version: "1.2.3", zone: "z1", answered: true }, { type: "UAA", index: 2, version: "77", zone: "z2", answered: false }]);
    expect(listed.out + out).not.toContain("geheim");
    const watch = start(at("components", "--watch", "--wait", "50ms", "--every", "50ms"));
    await expect.poll(() => watch.out.match(/Router/g)?.length ?? 0, within).toBeGreaterThan(2);
    watch.child.kill("SIGINT");
    expect(await watch.ended).toMatchObject({ code: 0 });
  });

  test("pub: from the command line and from standard input, with headers; nothing leaves that is wrong", async () => {
    const heard: [string, string, string | undefined][] = [];
    const subscription = bus.transport.subscribe("say.>", ({ subject, text, headers }) => heard.push([subject, text, headers?.["A"]?.[0]]));
    using _registered = bus.subscribe(routerRegister, ({ body }) => void heard.push(["registered", body.host, undefined]));
    await bus.flush();
    expect(await run(...at("pub", "say.it", '{"a":1}', "-H", "A: b"))).toMatchObject({ code: 0, err: expect.stringMatching(/not in the catalogue/) });
    expect(await start(at("pub", "router.register", "-"), { input: JSON.stringify(registration) }).ended).toMatchObject({ code: 0, err: "" });
    expect(await run(...at("pub", "router.register", '{"uris":[]}'))).toMatchObject({ code: 2 });
    expect(await run(...at("pub", "say.nonsense", "nonsense", "--force"))).toMatchObject({ code: 0 });
    await expect.poll(() => heard, within).toEqual([["say.it", '{"a":1}', "b"], ["registered", "10.0.0.7", undefined], ["say.nonsense", "nonsense", undefined]]);
    subscription.unsubscribe();
  });

  test("request: nobody there, nobody answers, several answers, secrets", async () => {
    const subscriptions = [
      bus.transport.subscribe("ask.silent", () => undefined),
      ...[1, 2].map((n) => bus.transport.subscribe("ask.two", ({ reply }) => void bus.transport.publish(reply as string, JSON.stringify({ n, password: "geheim" })))),
    ];
    await bus.flush();
    const [nobody, silent, two, shown] = await Promise.all([
      run(...at("request", "ask.nobody")), run(...at("request", "ask.silent", "--wait", "100ms")), run(...at("request", "ask.two", "--max", "5", "--wait", "500ms")), run(...at("request", "ask.two", "--secrets")),
    ]);
    expect(nobody).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/nobody listens to ask\.nobody/) });
    expect(silent).toMatchObject({ code: 1, err: expect.stringMatching(/no answer to ask\.silent within 100ms/) });
    expect(two).toMatchObject({ code: 0, err: expect.stringMatching(/secrets are hidden/) });
    expect(documents(two.out).map(({ n, password }) => [n, password]).sort()).toEqual([[1, "***"], [2, "***"]]);
    expect(shown.out).toContain("geheim");
    for (const subscription of subscriptions) subscription.unsubscribe();
  });

  test("the configuration of permissions works: a tool may listen, and may not start anything", async () => {
    const { out: config } = await run("permissions", "--config", "tool", "executor");
    await using own = await startNatsServer({ config: config.replaceAll(/\$NATS_(\w+)_PASSWORD/g, '"$1"') });
    const as = (...args: string[]): string[] => [...args, "--nats", own.url, "--user", "tool", "--inbox-prefix", "_INBOX.tool"];
    const env = { NATS_PASSWORD: "TOOL" };
    const tap = start(as("tap", "--count", "1"), { env });
    await expect.poll(() => tap.err, within).toMatch(/listening to the subjects of the catalogue/);
    const denied = await start(as("pub", "dea.d1.start", '{"droplet":"a","version":"v","index":0,"name":"n","limits":{"mem":1,"disk":1,"fds":1}}'), { env }).ended;
    expect(denied).toMatchObject({ code: 1, err: expect.stringMatching(/may not publish to dea\.d1\.start/) });
    expect(await start(as("components", "--wait", "100ms"), { env }).ended).toMatchObject({ code: 0 });
    expect(await tap.ended).toMatchObject({ code: 0, out: expect.stringMatching(/vcap\.component\.discover/) });
    expect(await start(as("components"), { env: { NATS_PASSWORD: "wrong" } }).ended).toMatchObject({ code: 1, err: expect.stringMatching(/does not accept these credentials/) });
  });
});
