import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { catalogue } from "@opencf/bus/catalogue";
import { roles } from "@opencf/bus";
import { painter } from "../src/cli/color.ts";
import { componentsText, uptimeText, withPresence } from "../src/cli/components-text.ts";
import { headersOf } from "../src/cli/compose.ts";
import { createConversations } from "../src/cli/conversations.ts";
import { documentOf, type TapDocument } from "../src/cli/document.ts";
import { exampleBody, messageText } from "../src/cli/messages.ts";
import { connectionOf } from "../src/cli/options.ts";
import { about, configText } from "../src/cli/permissions.ts";
import { fieldRows } from "../src/cli/schema-text.ts";
import { textWithoutSecrets, withoutSecrets } from "../src/cli/secrets.ts";
import { summarize } from "../src/cli/summary.ts";
import { tapLine } from "../src/cli/tap-line.ts";
import { widthOf } from "../src/cli/terminal.ts";
import { bytes, clean, duration, megabytes, seconds, short, table } from "../src/cli/text.ts";
import { milliseconds, nearest } from "../src/cli/usage.ts";
import { plain } from "../src/cli/color.ts";

const app = "1f6e0c52-6f0a-4c3e-9d5b-2a7b8c9d0e1f";

describe("words and numbers", () => {
  test.each([
    ["1f6e0c52-6f0a-4c3e-9d5b-2a7b8c9d0e1f", "1f6e0c52"], ["0-5f2b9c5f2b9c5f2b9c5f2b9c5f2b9c5f", "0-5f2b9c5f"], ["0-5f2b9c", "0-5f2b9c"], ["shop", "shop"], [17, "17"],
    ["https://blobs.example.com/a", "https://blobs.example.com/a"],
  ])("%j is short %j", (id, text) => expect(short(id)).toBe(text));
  test.each([[0, "0ms"], [999, "999ms"], [1_200, "1.2s"], [61_000, "1m 1s"], [120_000, "2m"], [7_500_000, "2h 5m"], [90_000_000, "1d 1h"]])("%d ms are %s", (ms, text) => expect(duration(ms)).toBe(text));
  test.each([[512, "512M"], [1536, "1.5G"], [undefined, "?"]])("%j MB are %s", (mb, text) => expect(megabytes(mb)).toBe(text));
  test.each([[0, "0B"], [1536, "1.5K"], [3 * 1_048_576, "3M"]])("%d bytes are %s", (count, text) => expect(bytes(count)).toBe(text));
  test.each([[12, "+0.012"], [-1_500, "-1.500"]])("%d ms are %s seconds", (ms, text) => expect(seconds(ms)).toBe(text));
  test.each([["500", 500], ["250ms", 250], ["1.5s", 1_500], ["2m", 120_000]])("%s is a time", (text, ms) => expect(milliseconds(text, "for")).toBe(ms));
  test.each(["", "s", "10 s", "-1", "90d", "1e9h"])("%j is none", (text) => expect(() => milliseconds(text, "for")).toThrow(/--for takes a time/));
  test.each([["tpa", "tap"], ["req", "request"], ["mesages", "messages"], ["fly", undefined], ["xxxxxxxxx", undefined]])("%s means %s", (given, name) =>
    expect(nearest(given, ["tap", "components", "pub", "request", "messages", "permissions"])).toBe(name));
  test("nothing from the bus moves the cursor", () => {
    expect(clean("a\x1b[2Jb\nc\u009bd\u202e")).toBe("a\\x1b[2Jb\\nc\\u009bd\\u202e");
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
       
      expect(clean(text)).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    }));
  });
  test.each([[120, {}, 120], [0, {}, Infinity], [0, { COLUMNS: "90" }, 90], [undefined, { COLUMNS: "90" }, 90], [undefined, { COLUMNS: "x" }, Infinity]])("%j columns with %j are %d", (columns, env, width) =>
    expect(widthOf({ ...(columns !== undefined && { columns }) }, env)).toBe(width));
  test("columns line up", () => expect(table([["A", "B"], ["long", "x"]])).toEqual(["A     B", "long  x"]));
  test.each([
    ["auto", { isTty: true, env: {} }, true], ["auto", { isTty: false, env: {} }, false], ["auto", { isTty: true, env: { NO_COLOR: "1" } }, false], ["auto", { isTty: true, env: { TERM: "dumb" } }, false],
    ["always", { isTty: false, env: { NO_COLOR: "1" } }, true], ["never", { isTty: true, env: {} }, false],
  ] as const)("colour %s at %j: %s", (when, place, isColored) => expect(painter(when, place)("red", "x") !== "x").toBe(isColored));
});

describe("secrets", () => {
  test.each([
    [{ password: "geheim", user: "u" }, { password: "***", user: "u" }],
    [{ Credentials: ["u", "geheim"], credentials: [] }, { Credentials: "***", credentials: [] }],
    [{ env: ["A=geheim", "geheim"], environment: { B: "geheim" } }, { env: ["A=***", "***"], environment: { B: "***" } }],
    [{ vcap_services: { mysql: [{ name: "db", credentials: { uri: "geheim" } }] } }, { vcap_services: { mysql: [{ name: "db", credentials: "***" }] } }],
    [{ executableUri: "https://u:geheim@h:1/p/q?signature=geheim&x=1" }, { executableUri: "https://***@h:1/p/q?***" }],
    [{ start_command: "DB_PASSWORD=geheim run --token='geheim x'" }, { start_command: "DB_PASSWORD=*** run --token=***" }],
    [{ a: { b: [{ client_secret: "geheim", api_key: "geheim" }] } }, { a: { b: [{ client_secret: "***", api_key: "***" }] } }],
    [{ Authorization: ["Bearer geheimgeheim"] }, { Authorization: "***" }],
    [{ payload: "Authorization: Bearer geheimgeheim" }, { payload: "Authorization: Bearer ***" }],
    [{ task_id: "t", buildpack_key: "k", index: 0, ok: true, nothing: null }, { task_id: "t", buildpack_key: "k", index: 0, ok: true, nothing: null }],
  ])("%j becomes %j", (body, shown) => expect(withoutSecrets(body)).toEqual(shown));
  test("in text that is no JSON, or not all of it", () =>
    expect(textWithoutSecrets('{"password":"geheim","x":1,"credentials":["u","geheim"],"token":"geh')).toBe('{"password":"***","x":1,"credentials":"***","token":"***"'));
  test("wherever a secret is put, it does not get out", () => {
    fc.assert(fc.property(fc.constantFrom("password", "PASS", "db_password", "token", "secret", "credentials", "env", "private_key"), fc.array(fc.constantFrom("a", "b"), { maxLength: 5 }), (name, path) => {
      const body = path.reduce<object>((inner, key) => ({ [key]: [inner] }), { [name]: name === "env" ? ["X=geheim"] : "geheim" });
      expect(JSON.stringify(withoutSecrets(body))).not.toContain("geheim");
      expect(textWithoutSecrets(name === "env" ? "" : JSON.stringify(body))).not.toContain("geheim");
    }));
  });
});

describe("what a message says", () => {
  test.each([
    ["router.register", { host: "10.0.0.7", port: 8080, uris: ["a.b", "c.d", "e.f", "g.h"], app, private_instance_id: "7c1d", private_instance_index: "0" }, "10.0.0.7:8080  a.b c.d e.f +1  app 1f6e0c52  instance 7c1d  #0"],
    ["router.start", { id: "r1", hosts: ["10.0.0.1"], minimumRegisterIntervalInSeconds: 20, pruneThresholdInSeconds: 120 }, "router r1  10.0.0.1  register every 20s  prune after 120s"],
    ["dea.{id}.start", { droplet: app, version: "v1", index: 2, name: "shop", limits: { mem: 2048, disk: 512, fds: 1 }, uris: [] }, '"shop"  #2  app 1f6e0c52  version v1  2G/512M'],
    ["dea.stop", { droplet: app, indices: [0, 1] }, "app 1f6e0c52  indices 0 1"],
    ["dea.heartbeat", { dea: "d", droplets: [] }, "from d  nothing runs here"],
    ["dea.heartbeat", { dea: "d", droplets: ["RUNNING", "CRASHED", "RUNNING"].map((state, index) => ({ state, index, instance: `i${index}`, droplet: app })) }, "from d  1 CRASHED, 2 RUNNING"],
    ["dea.heartbeat", { dea: "d", droplets: [{ state: "RUNNING", index: 0, instance: "i0", droplet: app }] }, "from d  RUNNING i0 #0 app 1f6e0c52"],
    ["dea.advertise", { id: "d", stacks: ["s"], available_memory: 4096, app_id_to_count: { a: 2, b: 1 } }, "id d  memory 4G  s  3 instances"],
    ["droplet.exited", { droplet: app, version: "v", instance: "i", index: 0, reason: "CRASHED", exit_status: 1, exit_description: "out of memory" }, 'CRASHED  instance i  #0  app 1f6e0c52  status 1  "out of memory"'],
    ["opencf.log", { envelopes: [{ source_id: app, tags: { source_type: "APP" }, payload: "hi\n" }] }, '1 line  of 1f6e0c52  APP  "hi\\n"'],
    [null, { a: 1, b: "x y", c: [1, 2], d: { e: 1 }, f: [{}, {}] }, 'a=1 b="x y" c=[1 2] d={1} f=[2]'],
    ["no.such", "text\x07", "text\\x07"], ["healthmanager.start", {}, ""],
  ])("%s %j", (message, body, line) => expect(summarize(body, { message, isAnswer: false })).toBe(line));
  test.each([
    ["dea.{id}.start", { accepted: false, reason: "no room" }, 'refused  "no room"'], ["vcap.component.discover", { type: "Router", index: 1, host: "h:1", uptime: "0d:0h:1m:0s" }, "Router  #1  at h:1  up 0d:0h:1m:0s"],
    ["staging.{id}.start", { task_id: "t", error: null }, "set up  task t"], ["staging.{id}.start", { task_id: "t", app_id: "a", detected_buildpack: "node", droplet_size_bytes: 2048 }, "done  task t  node  2K"],
  ])("answer to %s %j", (message, body, line) => expect(summarize(body, { message, isAnswer: true })).toBe(line));
  test("whatever comes, it is one line and no exception", () => {
    const templates = catalogue.map(({ subject }) => subject);
    fc.assert(fc.property(fc.constantFrom(null, ...templates), fc.boolean(), fc.oneof(fc.jsonValue(), fc.dictionary(fc.constantFrom("droplet", "droplets", "uris", "stats", "limits", "envelopes", "error", "index"), fc.jsonValue())), (message, isAnswer, body) => {
       
      expect(summarize(body, { message, isAnswer })).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
    }));
  });
});

const packet = (subject: string, text: string, more: object = {}) =>
  ({ subject, text, data: Buffer.from(text), bytes: text.length, reply: undefined, headers: undefined, status: undefined, ...more });
const document = (more: Partial<TapDocument>): TapDocument => ({
  at: "2024-05-01T12:00:01.250Z", subject: "a.b", message: null, valid: null, reply: null, answers: null, sender: null, trace: null, id: null, cause: null, bytes: 2, body: {}, ...more,
});

describe("tap", () => {
  const greet = catalogue.find(({ subject }) => subject === "router.greet");
  const register = catalogue.find(({ subject }) => subject === "router.register");
  test.each([
    ["valid", packet("router.register", '{"host":"h","port":1,"uris":[]}'), { message: register }, { valid: true, message: "router.register" }],
    ["invalid", packet("router.register", '{"host":1,"uris":[],"token":"geheim"}'), { message: register }, { valid: false, issues: ["host: must be string"], body: { host: 1, uris: [], token: "***" } }],
    ["no JSON", packet("router.register", "{"), { message: register }, { valid: false, issues: ["not JSON"], body: "{" }],
    ["unknown", packet("x.y", "hello"), { message: undefined }, { valid: null, message: null, body: "hello" }],
    ["binary", packet("x.y", "\ufffd\0"), { message: undefined }, { body: expect.stringMatching(/^<\d+ bytes beginning [0-9a-f]+>$/) }],
    ["an answer", packet("_INBOX.1", "{}"), { message: greet, answers: "router.greet" }, { answers: "router.greet", valid: false }],
    ["nobody listens", packet("_INBOX.1", "", { status: { code: 503, description: "" } }), { message: greet, answers: "router.greet" }, { status: 503, valid: null }],
    ["headers", packet("x", "", { headers: { "Opencf-Sender": ["dea/0"], "Opencf-Trace-Id": ["t"], "Password": ["geheim"], "X": ["1"] } }), { message: undefined }, { sender: "dea/0", trace: "t", headers: { Password: "***", X: ["1"] } }],
  ])("%s", (_, given, { message, ...rest }: { message: typeof greet; answers?: string }, expected) =>
    expect(documentOf(given, { atMs: 0, message, ...rest })).toMatchObject(expected));

  const line = (more: Partial<TapDocument>, options: object = {}) => tapLine(document(more), { sinceMs: Date.parse("2024-05-01T12:00:00Z"), width: Infinity, full: false, paint: plain, ...options });
  test.each<[string, Partial<TapDocument>, object, RegExp]>([
    ["time since the start", {}, {}, /^ {3}\+1\.250 \? a\.b/], ["time of day", {}, { sinceMs: undefined }, /^12:00:01\.250 \? a\.b/],
    ["invalid, and why", { subject: "router.register", message: "router.register", valid: false, issues: ["host: must be string"], body: { host: 1 } }, {}, / ! router\.register .*invalid: host: must be string$/],
    ["why survives a narrow terminal", { message: "x", valid: false, issues: ["host: must be string"], body: "y".repeat(500) }, { width: 80 }, /…  invalid: host: must be string$/],
    ["sender, trace, question", { sender: "dea/0", trace: "abcdef", reply: "_INBOX.1" }, {}, /from dea\/0 \(asks\) ~abcdef$/],
    ["an answer under the name of its request", { subject: "_INBOX.1", answers: "dea.7.start", message: "dea.{id}.start", valid: true, body: { accepted: true } }, {}, / < dea\.7\.start +accepted/],
    ["cut", { body: "y".repeat(500) }, { width: 80 }, /^.{1,80}$/], ["whole", { body: { a: "y".repeat(500) } }, { width: 80, full: true }, /\n {12}\{"a":"y{500}"\}$/],
    ["an evil subject", { subject: "a\x1b[2J", sender: "\x07" }, {}, /a\\x1b\[2J.*from \\x07/],
  ])("%s", (_, more, options, expected) => expect(line(more, options)).toMatch(expected));

  test("remembers the latest requests and no more", () => {
    const talks = createConversations(2);
    for (const n of [1, 2, 3]) talks.asked(`_INBOX.${n}`, `s.${n}`);
    expect([1, 2, 3].map((n) => talks.requestOf(`_INBOX.${n}`))).toEqual([undefined, "s.2", "s.3"]);
  });
});

describe("catalogue", () => {
  test.each(catalogue.map((message) => [message.subject, message] as const))("the example of %s is valid, and everything is told of it", (subject, message) => {
    const example = exampleBody(message);
    if (message.body.codec !== "none") expect(() => message.body.encode(example)).not.toThrow();
    const text = messageText(message, plain).join("\n");
    expect(text).toContain(subject);
    for (const { path } of fieldRows(message.body.schema)) expect(text).toContain(path);
  });
  test("fields with their types", () => {
    const rows = fieldRows(catalogue.find(({ subject }) => subject === "dea.heartbeat")?.body.schema as never);
    expect(rows).toContainEqual(expect.objectContaining({ path: "droplets[].state", type: "text", required: true }));
    expect(rows).toContainEqual(expect.objectContaining({ path: "dea", required: true }));
  });
});

test("every role has a line, and a user in the configuration", () => {
  expect(Object.keys(about).sort()).toEqual([...roles].sort());
  const text = configText(roles, {});
  for (const role of roles) expect(text).toContain(`user: "${role}", password: $NATS_${role.toUpperCase().replaceAll("-", "_")}_PASSWORD`);
});

test("components: a table by type and index; version and zone where they are told", () => {
  const row = { type: "Router", index: 1, uuid: "1-a", host: "10.0.0.1:80", start: "2024-05-01 12:00:00 +0000", uptime: "1d:2h:3m:4s", version: null, zone: null, answered: true };
  expect(componentsText([row, { ...row, index: 0 }, { ...row, type: "DEA" }])).toEqual([
    "TYPE    INDEX  HOST         UP     SINCE", "DEA     1      10.0.0.1:80  1d 2h  2024-05-01 12:00:00 +0000",
    "Router  0      10.0.0.1:80  1d 2h  2024-05-01 12:00:00 +0000", "Router  1      10.0.0.1:80  1d 2h  2024-05-01 12:00:00 +0000",
  ]);
  expect(componentsText([row, { ...row, version: "1.2", zone: "z1" }]).at(-1)).toMatch(/1\.2 +z1$/);
  expect(uptimeText("0d:0h:0m:5s")).toBe("5s");
  const member = { type: "Router", index: 1, uuid: "1-a", version: "2", zone: undefined, host: "h:1", attributes: {}, since: 0, lastSeenMs: 0 };
  expect(withPresence([row], [member], 0)).toEqual([{ ...row, version: "2" }]);
  expect(withPresence([row], [{ ...member, uuid: "other" }], 0)).toEqual([{ ...row, version: "2" }]);
  expect(componentsText(withPresence([row], [member, { ...member, type: "UAA", uuid: "u" }], 3_661_000)).at(-1)).toMatch(/^UAA +1 +h:1 \(silent\) +1h 1m +1970-01-01 00:00:00 \+0000 +2$/);
});

test("connection: flags before the environment, and what does not go together", () => {
  expect(connectionOf({ nats: "nats://a:1, nats://b:2", user: "u" }, { NATS_URL: "nats://c", NATS_PASSWORD: "p" })).toMatchObject({ servers: ["nats://a:1", "nats://b:2"], user: "u", password: "p", name: "opencf-bus" });
  expect(connectionOf({}, { NATS_URL: "nats://c" })).toMatchObject({ servers: ["nats://c"] });
  expect(() => connectionOf({ "tls-cert": "x" }, {})).toThrow(/go together/);
  expect(() => connectionOf({ nats: "http://u:p@h:1" }, {})).toThrow(/--nats: "http:\/\/\*\*\*@h:1" is no address/);
  expect(() => connectionOf({ creds: "/no/such/file" }, {})).toThrow(/--creds: .* cannot be read \(ENOENT\)/);
});

test("headers from the command line", () => {
  expect(headersOf(["A: 1", "A: 2", "B:x:y"])).toEqual({ A: ["1", "2"], B: ["x:y"] });
  for (const wrong of ["A", ": x", "A B: c"]) expect(() => headersOf([wrong])).toThrow(/Name: value/);
});
