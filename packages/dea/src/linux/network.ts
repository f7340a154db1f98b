import { access, readFile, writeFile } from "node:fs/promises";
import type { ContainerSpec } from "../container/container.ts";
import { type EgressInput, baseRuleset, egressRuleset, type FirewallSlot, removalRuleset, slotRuleset } from "./firewall.ts";
import type { Slot } from "./names.ts";
import { bucket } from "./network-script.ts";
import { run } from "./programs.ts";
import type { Range } from "../container/egress.ts";

const setting = (path: string, value: string): Promise<void> => writeFile(`/proc/sys/net/${path}`, value);

/** Lets this machine pass packets on, and lays the executor's table. Answers whether it bounds connections. Throws DEA_CONTAINER. */
export async function openNetwork(table: string, pool: Range, maxConnections: number): Promise<boolean> {
  if ((await readFile("/proc/sys/net/ipv4/ip_forward", "latin1")).trim() !== "1") await setting("ipv4/ip_forward", "1");
  const lay = (most?: number): Promise<string> => run("nft", ["-f", "-"], { input: baseRuleset(table, pool, most) });
  // A kernel that cannot count connections (CONFIG_NFT_CONNLIMIT) refuses the whole.
  return lay(maxConnections).then(() => true, () => lay().then(() => false));
}

export interface NetworkInput extends EgressInput {
  slot: Slot;
  bandwidth: ContainerSpec["bandwidth"];
}

/** A link with its rules and its port; the runtime puts its other end into the container. Throws DEA_CONTAINER. */
export async function makeNetwork(table: string, input: NetworkInput): Promise<void> {
  const { slot, bandwidth } = input;
  const { link, peer, hostAddress } = slot;
  // The rules stand before the link: nothing ever passes it unjudged.
  await run("nft", ["-f", "-"], { input: slotRuleset(table, input) + egressRuleset(table, input) });
  await run("ip", ["-batch", "-"], { input: `link add ${link} type veth peer name ${peer}\naddr add ${hostAddress}/30 dev ${link}\n` });
  await Promise.all([
    // So that a connection to 127.0.0.1 on this machine can be led into the container; what comes from it is still judged.
    setting(`ipv4/conf/${link}/route_localnet`, "1"),
    setting(`ipv4/conf/${link}/rp_filter`, "1"),
    ...[link, peer].map((name) => setting(`ipv6/conf/${name}/disable_ipv6`, "1").catch(() => {})),
  ]);
  await run("ip", ["link", "set", link, "up"]);
  if (bandwidth) await run("tc", ["qdisc", "add", "dev", link, ...bucket(bandwidth).split(" ")]);
}

/** New rules for a container that runs. Throws DEA_CONTAINER. */
export const changeEgress = async (table: string, input: EgressInput): Promise<void> => void (await run("nft", ["-f", "-"], { input: egressRuleset(table, input) }));

/** Lays a container's rules again: somebody may have emptied the table, and what was asked for last may not have arrived. Throws DEA_CONTAINER. */
export const renewNetwork = async (table: string, input: EgressInput): Promise<void> => void (await run("nft", ["-f", "-"], { input: slotRuleset(table, input) + egressRuleset(table, input) }));

const there = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

/** Takes away whatever is there of a container's network. Throws DEA_CONTAINER. */
export async function removeNetwork(table: string, at: FirewallSlot & { slot: Slot }): Promise<void> {
  const { link } = at.slot;
  if (await there(`/sys/class/net/${link}`)) await run("ip", ["link", "delete", link]).catch(async (error: unknown) => ((await there(`/sys/class/net/${link}`)) ? Promise.reject(error as Error) : undefined));
  await run("nft", ["-f", "-"], { input: removalRuleset(table, at) });
}

export const removeTable = async (table: string): Promise<void> => void (await run("nft", ["-f", "-"], { input: `add table inet ${table}\ndelete table inet ${table}\n` }));
