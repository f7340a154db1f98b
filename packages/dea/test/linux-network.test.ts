import { createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Container, EgressRule } from "../src/index.ts";
import { resolvSource } from "../src/linux/etc-files.ts";
import { probeLinux } from "../src/linux/probe.ts";
import { type Cell, openCell } from "./fixtures/linux-cell.ts";
import { openOutside, type Outside } from "./fixtures/outside.ts";

const host = await probeLinux();
const lacks = host.findings.filter(({ ok, needed }) => needed && !ok).map(({ name }) => name).join(", ");

describe.skipIf(!host.able)(`dea §10: network of a container${host.able ? "" : ` (this machine lacks ${lacks})`}`, () => {
  let outside: Outside;
  let cell: Cell;
  let app: Container;
  beforeAll(async () => {
    outside = await openOutside();
    cell = await openCell({ dns: [outside.address], maxConnections: 24 });
    app = await cell.make();
    await cell.start(app, "while :; do sleep 1000; done");
  }, 120_000);
  afterAll(async () => {
    outside[Symbol.dispose]();
    expect(await cell.close()).toEqual([]);
  }, 60_000);

  /** What of the outside is reached: two tcp ports and one of udp. */
  const reached = async (): Promise<string[]> => {
    const { address } = outside;
    const script = `for p in 7777 7778; do timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/'$p 2>/dev/null && echo tcp$p & done
      perl -MSocket -e 'socket(S, PF_INET, SOCK_DGRAM, 0); connect(S, sockaddr_in(7777, inet_aton("${address}"))); for (1..4) { send(S, "hello", 0); $r = ""; vec($r, fileno(S), 1) = 1; next unless select($r, undef, undef, 0.5); recv(S, $a, 9, 0); if ($a eq "hello") { print "udp7777\n"; last } else { last } }' 2>/dev/null; wait`;
    return (await cell.say(app, script)).split("\n").filter((line) => line !== "").sort();
  };
  const all = ["tcp7777", "tcp7778", "udp7777"];
  const here = (more: Partial<EgressRule>): EgressRule => ({ protocol: "tcp", destination: outside.address, ...more });

  // Row by row on one running container: each takes the place of the one before.
  test.each<[string, () => EgressRule[], string[]]>([
    ["no rule: nothing", () => [], []],
    ["all", () => [here({ protocol: "all" })], all],
    ["all, and ports are ignored", () => [here({ protocol: "all", ports: "1" })], all],
    ["tcp without ports: every port", () => [here({})], ["tcp7777", "tcp7778"]],
    ["one port", () => [here({ ports: "7777" })], ["tcp7777"]],
    ["two ports", () => [here({ ports: "80,7778" })], ["tcp7778"]],
    ["a range of ports", () => [here({ ports: "7000-7777" })], ["tcp7777"]],
    ["udp", () => [here({ protocol: "udp", ports: "7777" })], ["udp7777"]],
    ["a network", () => [here({ destination: outside.network })], ["tcp7777", "tcp7778"]],
    ["a range of addresses", () => [here({ destination: `${outside.ours}-${outside.address}` })], ["tcp7777", "tcp7778"]],
    ["another address", () => [here({ destination: "198.51.100.1" })], []],
    ["logging changes no verdict", () => [here({ log: true, ports: "7777" }), here({ protocol: "udp" })], ["tcp7777", "udp7777"]],
    ["icmp opens neither tcp nor udp", () => [here({ protocol: "icmp", type: -1, code: -1 })], []],
  ])("dea §10.4, changed while it runs: %s", async (_name, rules, expected) => {
    await app.setEgress(rules());
    expect(await reached()).toEqual(expected);
  }, 60_000);

  test("names are asked of the configured servers, whatever else is forbidden; of them only port 53 is open", async () => {
    await app.setEgress([]);
    expect(await cell.say(app, "cat /etc/resolv.conf")).toBe(`nameserver ${outside.address}\n`);
    expect(await cell.say(app, "getent ahostsv4 some.where.test | head -n 1")).toMatch(/^9\.9\.9\.9 /);
    expect(await cell.connect(app, outside.address, 53)).toBe("reached\n");
    expect(await reached()).toEqual([]);
  }, 60_000);

  test("one container can open so many connections and no more; another has its own", async () => {
    await app.setEgress([{ protocol: "tcp", destination: outside.address }]);
    const open = `n=0; for i in $(seq 30); do { exec {fd}<>/dev/tcp/${outside.address}/7777; } 2>/dev/null && n=$((n+1)); done; echo $n`;
    const first = Number(await cell.say(app, open));
    // Those of the tests before may still be remembered for a while.
    expect(first).toBeLessThanOrEqual(24);
    expect(first).toBeGreaterThan(0);
    const other = await cell.make();
    await cell.start(other, "while :; do sleep 1000; done");
    await other.setEgress([{ protocol: "tcp", destination: outside.address }]);
    expect(Number(await cell.say(other, open))).toBeGreaterThan(12);
    await other.destroy();
  }, 120_000);

  test("a socket tied to the link finds no way to this machine's loopback", async () => {
    const server = createServer((socket) => socket.end("broken")).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    try {
      const { port } = server.address() as { port: number };
      // SO_BINDTODEVICE is 25; the link has route_localnet, so only the rules stand between.
      const perl = `perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, 25, "eth0\\0"); $SIG{ALRM} = sub { print "nothing"; exit }; alarm 3; print connect(S, sockaddr_in(${port}, inet_aton("127.0.0.1"))) ? "broken" : "refused"'`;
      await app.setEgress([{ protocol: "all", destination: "0.0.0.0/0" }]);
      expect(await cell.say(app, perl, "root")).toMatch(/^(nothing|refused)/);
    } finally {
      server.close();
    }
  }, 60_000);

  test("IPv6 leads nowhere", async () => {
    expect(await cell.say(app, `cat /proc/net/if_inet6 | grep -v ' lo$' | wc -l; perl -MSocket=:all -e 'socket(S, PF_INET6, SOCK_STREAM, 0); print connect(S, pack_sockaddr_in6(80, inet_pton(AF_INET6, "fe80::1"))) ? "broken" : "no"'`)).toMatch(/no$/);
  }, 60_000);
});

describe("dea §16, DNS: whose words a container gets", () => {
  const [stub, upstream] = ["nameserver 127.0.0.53\nsearch a\n", "nameserver 10.0.0.2\nsearch a\n"];
  test.each([
    ["the host's own", "nameserver 10.1.1.1\n", upstream, "nameserver 10.1.1.1\n"],
    ["behind a resolver on the loopback: the servers it asks", stub, upstream, upstream],
    ["a resolver on the loopback that tells nothing", stub, "", stub],
    ["two of them, one on the loopback", "nameserver 127.0.0.1\nnameserver 10.1.1.1\n", upstream, "nameserver 127.0.0.1\nnameserver 10.1.1.1\n"],
    ["the other file is of no use either", stub, "nameserver 127.0.0.1\n", stub],
  ])("%s", (_name, own, other, expected) => expect(resolvSource(own, other)).toBe(expected));
});
