import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";

/** The app's user inside every container. */
export const appUser = { name: "vcap", uid: 1_000, gid: 1_000, home: "/home/vcap" } as const;

/** `/etc/passwd` and `/etc/group` with the app's user in them, whatever was there before. Lines of the same name or number make way. */
export function userFiles(passwd = "", group = ""): { passwd: string; group: string } {
  const { name, uid, gid, home } = appUser;
  const keep = (text: string, id: number): string[] =>
    text.split("\n").filter((line) => line !== "" && !line.startsWith(`${name}:`) && line.split(":")[2] !== String(id));
  const root = "root:x:0:0:root:/:/bin/sh";
  const nobody = "nobody:x:65534:65534:nobody:/nonexistent:/bin/false";
  const users = keep(passwd, uid);
  const groups = keep(group, gid);
  return {
    passwd: `${[...(users.length > 0 ? users : [root, nobody]), `${name}:x:${uid}:${gid}::${home}:/bin/sh`].join("\n")}\n`,
    group: `${[...(groups.length > 0 ? groups : ["root:x:0:", "tty:x:5:", "nogroup:x:65534:"]), `${name}:x:${gid}:`].join("\n")}\n`,
  };
}

export const hostsFile = (hostname: string, address: string): string => `127.0.0.1 localhost\n${address} ${hostname}\n`;

const servers = (text: string): string[] => [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? "");

/**
 * Servers to ask for names: those that were configured, else the host's. A host that asks a resolver on its own
 * loopback cannot be followed there: the container asks the host's end of its link instead. IPv6 is left out.
 */
export function nameServers(hostText: string, configured: readonly string[] | undefined, hostAddress: string): string[] {
  const found = configured ?? servers(hostText);
  const reached = found.filter((server) => isIPv4(server)).map((server) => (server.startsWith("127.") ? hostAddress : server));
  return [...new Set(reached)].slice(0, 3);
}

/** Where a resolver on this machine's loopback is all that the host asks, the servers which that one asks, if it says. */
export const resolvSource = (hostText: string, upstreamText: string): string =>
  servers(hostText).every((server) => server.startsWith("127.") || server === "::1") && servers(upstreamText).some((server) => isIPv4(server) && !server.startsWith("127.")) ? upstreamText : hostText;

/** The host's resolver configuration as a container can use it; systemd-resolved tells its own servers in a file beside. */
export async function hostResolvConf(): Promise<string> {
  const [own, upstream] = await Promise.all(["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"].map((path) => readFile(path, "utf8").catch(() => "")));
  return resolvSource(own ?? "", upstream ?? "");
}

export function resolvFile(hostText: string, asked: readonly string[]): string {
  const kept = hostText.split("\n").filter((line) => /^\s*(search|options)\s/.test(line));
  return `${[...asked.map((server) => `nameserver ${server}`), ...kept].join("\n")}\n`;
}
