import { expect, test } from "vitest";
import { unstopped } from "../src/container/attacks.ts";
import { processBackend } from "../src/index.ts";
import { linuxCapabilities } from "../src/linux/linux-capabilities.ts";
import { probeLinux } from "../src/linux/probe.ts";

test("what plain processes do not stop is listed, all of it", () => {
  expect(unstopped(processBackend({ isolate: "none" }).capabilities)).toEqual([
    "a fork bomb",
    "taking memory faster than anybody looks, or swap",
    "filling the disk",
    "filling the disk with small files",
    "taking all processors",
    "processes that hide: a session of their own, another name, no environment",
    "seeing and signalling other processes, and reading their memory and environment",
    "reading the host's files, other apps' files and droplets",
    "setuid programs, and all that the executor's own user may do",
    "mounts, key rings, and calls that lead into the kernel",
    "connections to the executor, the bus, a database, other apps and the metadata address",
    "taking ports of the host",
  ]);
});

test("the linux backend stops them all; without a count of swap it says so", async () => {
  const host = await probeLinux();
  expect(unstopped(linuxCapabilities({ ...host, swap: true }))).toEqual([]);
  expect(unstopped(linuxCapabilities({ ...host, swap: false }))).toEqual(["taking memory faster than anybody looks, or swap"]);
});
