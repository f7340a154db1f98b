import { expect, test } from "vitest";
import { hideSecrets, makePassword, readConfig, roles, UsageError } from "../config.ts";

test("without a word: one process, embedded, on loopback", () =>
  expect(readConfig([])).toMatchObject({
    host: "127.0.0.1", port: 8080, domain: "cf.localhost", roles, natsServers: [], databaseUrl: undefined, backend: "auto", demo: true, json: false, fresh: false,
    adminPassword: undefined, internalHost: "127.0.0.1",
  }));

test("everything said", () =>
  expect(readConfig(["--port", "0", "--host", "0.0.0.0", "--domain", "CF.example.com", "--data-dir", "/d", "--nats", "nats://a:4222, nats://b:4222", "--database", "postgres://x/y",
    "--roles", "dea,router,dea", "--admin-password", "p w", "--no-demo", "--json", "--fresh", "--memory", "128", "--zone", "z1", "--internal-host", "10.0.0.7", "--backend", "linux", "--isolation-segment", "gold"]))
    .toMatchObject({
      port: 0, host: "0.0.0.0", domain: "cf.example.com", dataDir: "/d", natsServers: ["nats://a:4222", "nats://b:4222"], databaseUrl: "postgres://x/y", roles: ["router", "dea"],
      adminPassword: "p w", demo: false, json: true, fresh: true, memoryBytes: 128 * 1_048_576, zone: "z1", internalHost: "10.0.0.7", backend: "linux", isolationSegment: "gold",
    }));

test("the password may come from the environment, the flag wins", () => {
  expect(readConfig([], { OPENCF_ADMIN_PASSWORD: "env" })?.adminPassword).toBe("env");
  expect(readConfig(["--admin-password", "flag"], { OPENCF_ADMIN_PASSWORD: "env" })?.adminPassword).toBe("flag");
});

test("help is asked for", () => expect(readConfig(["--port", "1", "--help"])).toBeUndefined());

test.each<[string, string[], RegExp]>([
  ["an unknown flag", ["--prot", "1"], /--prot/], ["a word too many", ["start"], /start/], ["a port that is none", ["--port", "http"], /--port http.*0 to 65535/],
  ["a port out of range", ["--port", "65536"], /65536/], ["a negative port", ["--port=-1"], /-1/], ["no value", ["--port"], /port/], ["an unknown role", ["--roles", "dea,cell", "--nats", "nats://a:1"], /choose from controller,uaa/],
  ["no role", ["--roles", ",", "--nats", "nats://a:1"], /choose from/], ["roles without NATS", ["--roles", "dea"], /give --nats/], ["NATS that is no URL", ["--nats", "localhost:4222"], /nats:\/\//],
  ["empty NATS", ["--nats", ","], /at least one URL/], ["controller alone without a database", ["--roles", "controller", "--nats", "nats://a:1"], /give --database/],
  ["a database of another kind", ["--database", "mysql://x"], /postgres:\/\//], ["a domain without a dot", ["--domain", "localhost"], /one dot/], ["an address as a domain", ["--domain", "127.0.0.1"], /name/],
  ["an unknown backend", ["--backend", "docker"], /auto, process, linux/], ["a segment without a name", ["--isolation-segment="], /name of a segment/],
  ["an empty password", ["--admin-password", ""], /must not be empty/], ["too little memory", ["--memory", "1"], /--memory 1/], ["a host that is none", ["--host", "http://x"], /--host/],
])("%s is a wrong question", (_, args, text) => {
  expect(() => readConfig(args)).toThrow(UsageError);
  expect(() => readConfig(args)).toThrow(text);
});

test("secrets in URLs are not shown", () => {
  expect(hideSecrets("nats://me:geheim@10.0.0.2:4222")).toBe("nats://***@10.0.0.2:4222");
  expect(() => readConfig(["--nats", "nats://me:geheim@a/b"])).toThrow(expect.objectContaining({ message: expect.not.stringContaining("geheim") }) as Error);
});

test("passwords made differ and can be read aloud", () => {
  const made = new Set(Array.from({ length: 50 }, makePassword));
  expect(made.size).toBe(50);
  for (const each of made) expect(each).toMatch(/^([a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}$/);
});
