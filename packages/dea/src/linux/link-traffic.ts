import { readFileSync } from "node:fs";
import type { Usage } from "../container/container.ts";

/** How long one reading serves those who measure: all containers are measured one after the other. */
const recentMs = 200;

/** Counters of every link of this machine, from the text of `/proc/net/dev` (proc(5)), as the other end of the link counts. */
export function parseTraffic(text: string): Map<string, NonNullable<Usage["network"]>> {
  const links = new Map<string, NonNullable<Usage["network"]>>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) continue;
    const [bytesIn = 0, packetsIn = 0, , , , , , , bytesOut = 0, packetsOut = 0] = line.slice(colon + 1).trim().split(/\s+/).map(Number);
    links.set(line.slice(0, colon).trim(), { receivedBytes: bytesOut, sentBytes: bytesIn, receivedPackets: packetsOut, sentPackets: packetsIn });
  }
  return links;
}

/** Answers the bytes and packets over a container's link, as the container counts them; undefined when it is gone. */
export type TrafficReader = (link: string) => Usage["network"];

export function createTrafficReader(): TrafficReader {
  let last: { at: number; links: ReturnType<typeof parseTraffic> } | undefined;
  return (link) => {
    const now = performance.now();
    // A link younger than the last reading is not in it.
    if (!last || now - last.at > recentMs || !last.links.has(link)) {
      try {
        last = { at: now, links: parseTraffic(readFileSync("/proc/net/dev", "latin1")) };
      } catch {
        return undefined;
      }
    }
    return last.links.get(link);
  };
}
