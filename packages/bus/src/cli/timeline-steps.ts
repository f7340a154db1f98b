import { findMessage } from "../catalogue.ts";
import { readParams } from "../subject.ts";
import type { TapDocument } from "./document.ts";
import { what } from "./tap-line.ts";
import { clean, short } from "./text.ts";
import { factsOf } from "./timeline-facts.ts";
import type { Story } from "./timeline-select.ts";

/** One line of a timeline. */
export interface Step {
  readonly document: TapDocument;
  /** Since the first message. */
  readonly ms: number;
  /** How many messages led to this one, as far as they are in the timeline. */
  readonly depth: number;
  readonly from: string;
  readonly to: string;
  readonly what: string;
  /** Further messages that said the same. */
  repeated: number;
  /** When the last of them came. */
  lastMs: number;
  /** Whether something has changed by it; what is merely said again settles nothing and unsettles nothing. */
  readonly isNews: boolean;
}

/** Said again and again, whether or not something happens. */
const periodic = new Set(["dea.heartbeat", "router.register", "dea.advertise", "staging.advertise", "dea.find.droplet", "opencf.log", "opencf.metrics", "healthmanager.status", "healthmanager.health", "droplet.status"]);

/** The messages of a story in the order in which they were heard, each with who spoke to whom, and what led to it. */
export function stepsOf({ documents, instances, apps }: Story): Step[] {
  const sorted = [...documents].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const startMs = sorted[0] ? Date.parse(sorted[0].at) : 0;
  const steps: Step[] = [];
  const byId = new Map<string, Step>();
  const byInbox = new Map<string, Step>();
  const said = new Map<string, Step>();
  for (const document of sorted) {
    const request = document.answers === null ? undefined : byInbox.get(document.subject);
    const parent = (document.cause === null ? undefined : byId.get(document.cause)) ?? request;
    const ms = Date.parse(document.at) - startMs;
    const text = focused(document, instances, apps) ?? what(document);
    const isPeriodic = document.message !== null && periodic.has(document.message);
    const { from, to } = ends(document, request);
    const key = [document.message, document.answers, from, document.message === "opencf.log" ? factsOf(document).entries[0]?.instance : text].join("\n");
    const earlier = isPeriodic ? said.get(key) : undefined;
    const step = earlier ?? {
      document, ms, from, to, what: text, repeated: 0, lastMs: ms, depth: parent ? Math.min(parent.depth + 1, 8) : 0,
      isNews: document.message !== "opencf.log",
    };
    if (earlier) {
      earlier.repeated++;
      earlier.lastMs = ms;
    } else steps.push(step);
    said.set(key, step);
    if (document.id !== null) byId.set(document.id, step);
    if (document.reply !== null) byInbox.set(document.reply, step);
  }
  return steps;
}

/** Of a list only what the timeline is about: a heartbeat tells of everything that runs somewhere. */
function focused(document: TapDocument, instances: readonly string[], apps: readonly string[]): string | undefined {
  if (document.message !== "dea.heartbeat" || document.valid === false) return undefined;
  const { droplets } = document.body as { droplets: readonly Readonly<Record<string, unknown>>[] };
  // Executors tell routers another name of an instance than health managers; the app is the same to both.
  const named = droplets.filter(({ instance }) => instances.includes(String(instance)));
  const ours = named.length > 0 ? named : droplets.filter(({ droplet }) => apps.includes(String(droplet)));
  return ours.length === 0 ? "not here (any more)" : ours.map(({ state, instance, index }) => `${clean(String(state))} ${short(instance)} #${String(index)}`).join(", ");
}

function ends({ subject, message: template, sender, answers, body }: TapDocument, request: Step | undefined): { from: string; to: string } {
  const message = template === null ? undefined : findMessage(answers ?? subject);
  const roles = (names: readonly string[] | undefined): string => (names && names.length > 0 ? names.slice(0, 2).join(", ") : "?");
  const id = template === null ? undefined : Object.entries(readParams(template, answers ?? subject)).find(([name]) => name === "id" || name === "node")?.[1];
  const addressee = id === undefined ? roles(message?.to) : `${message?.to[0] ?? ""} ${short(id)}`.trim();
  if (answers !== null) return { from: sender === null ? (request?.to ?? addressee) : clean(sender), to: request?.from ?? roles(message?.from) };
  const dea = typeof body === "object" && body !== null && "dea" in body && typeof body.dea === "string" ? ` ${short(body.dea)}` : "";
  return { from: sender === null ? `${roles(message?.from)}${dea}` : clean(sender), to: addressee };
}
