import { type InstanceExit, reasonText } from "../instance/exit.ts";

const MiB = 1024 ** 2;
const mb = (bytes: number): string => `${Math.round(bytes / MiB)} MiB`;

export interface EndingFacts {
  exit: Pick<InstanceExit, "reason" | "kind" | "description" | "status">;
  memoryBytes: number;
  diskBytes: number;
  port: number | undefined;
  checkTimeoutMs: number;
  checkPath: string;
}

type Advice = (facts: EndingFacts) => string;

/** What somebody can do about an end, by the reason or, where that has no row, by its family. */
const advice: Readonly<Record<string, Advice>> = {
  oom: ({ memoryBytes }) => `it used more than ${mb(memoryBytes)}; give it more with --memory`,
  "disk-quota": ({ diskBytes }) => `it wrote more than ${mb(diskBytes)}; give it more with --disk`,
  "port-timeout": ({ port, checkTimeoutMs }) => `nothing listened on the port it was given (PORT, ${port ?? "none"} on this machine) for ${checkTimeoutMs / 1000} s; listen there, or use --health process, or raise --check-timeout`,
  "http-timeout": ({ checkPath, checkTimeoutMs }) => `GET ${checkPath} was not answered with 200 within ${checkTimeoutMs / 1000} s`,
  liveness: () => "it was healthy once, then failed its check again and again",
  "no-command": () => "the droplet names none; give one with --command",
  "exit:126": () => "the command could not be executed: is it a program, and for this machine?",
  "exit:127": () => "the command was not found: look at the PATH inside, and at the lines above",
  "signal:SIGKILL": () => "somebody killed it; where the whole machine ran out of memory, that is the kernel",
  "droplet-missing": () => "look at its path or address",
};

/** One sentence about the end of an app: what happened, its reason in the words of the library, and what helps. */
export function endingText(facts: EndingFacts): string {
  const { reason, kind, description, status } = facts.exit;
  const what = kind === "exit" ? `${description} with status ${status}` : kind === "signal" ? `${description} by ${reason.slice("signal:".length)}` : description;
  const hint = (advice[reason] ?? advice[kind])?.(facts);
  return `${what} (${reasonText(reason)})${hint === undefined ? "" : `: ${hint}`}`;
}
