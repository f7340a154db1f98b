import type { ContainerSpec } from "../container/container.ts";
import type { Slot } from "./names.ts";

/** Arguments of tc for a token bucket. */
export const bucket = ({ bytesPerSecond, burstBytes }: NonNullable<ContainerSpec["bandwidth"]>): string =>
  `root tbf rate ${Math.round(bytesPerSecond * 8)}bit burst ${Math.max(2_000, Math.round(burstBytes))} latency 25ms`;

/**
 * What the runtime runs once the namespaces are there: reads its state (JSON, with the pid) and puts the container's
 * end of the link in. Everything in it is a number or a name of ours.
 */
export function linkScript({ peer, address, hostAddress }: Pick<Slot, "peer" | "address" | "hostAddress">, bandwidth: ContainerSpec["bandwidth"]): string {
  return `set -e
state=
while read -r line || [ -n "$line" ]; do state="$state$line "; done
pid=\${state#*\\"pid\\":}
pid=\${pid%%[!0-9 ]*}
pid=\${pid# }
pid=\${pid%% *}
case $pid in ''|*[!0-9]*) exit 1 ;; esac
ip link set ${peer} netns "$pid"
nsenter -t "$pid" -n ip -batch - <<END
link set ${peer} name eth0
addr add ${address}/30 dev eth0
link set lo up
link set eth0 up
route add default via ${hostAddress}
END
${bandwidth ? `nsenter -t "$pid" -n tc qdisc add dev eth0 ${bucket(bandwidth)}` : ""}
`;
}
