import { bytes, clean, cut, duration, megabytes, short, some } from "./text.ts";

type Body = Readonly<Record<string, unknown>>;
type Words = (body: Body) => (string | false | undefined)[];

const isBody = (value: unknown): value is Body => typeof value === "object" && value !== null && !Array.isArray(value);
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const entries = (value: unknown): Body[] => list(value).filter(isBody);
const text = (value: unknown): string | undefined => (value === undefined || value === null || value === "" ? undefined : clean(String(value)));
/** `label value`, where there is one. */
const say = (label: string, value: unknown, show: (value: unknown) => string = (each) => clean(String(each))): string | undefined =>
  value === undefined || value === null || value === "" ? undefined : `${label}${label === "#" ? "" : " "}${show(value)}`;
const quoted = (value: unknown): string | undefined => (text(value) === undefined ? undefined : `"${clean(String(value))}"`);
const address = ({ host, port, tls_port: tls }: Body): string => `${clean(String(host ?? "?"))}${port === undefined ? "" : `:${String(port)}`}${tls === undefined ? "" : ` tls:${String(tls)}`}`;
const filter: Words = (b) => [
  say("app", b["droplet"], short), say("version", b["version"], short),
  list(b["instances"]).length > 0 && `instances ${some(list(b["instances"]), 3, short)}`,
  list(b["instance_ids"]).length > 0 && `ids ${some(list(b["instance_ids"]), 3, short)}`,
  list(b["indices"]).length > 0 && `indices ${some(list(b["indices"]), 8)}`,
  list(b["states"]).length > 0 && `states ${some(list(b["states"]), 8)}`,
];
const registration: Words = (b) => [
  address(b), list(b["uris"]).length > 0 ? some(list(b["uris"])) : "no uris", say("app", b["app"], short), say("instance", b["private_instance_id"], short), say("#", b["private_instance_index"]),
];
const router: Words = (b) => [
  say("router", b["id"], short), list(b["hosts"]).length > 0 && some(list(b["hosts"])),
  b["minimumRegisterIntervalInSeconds"] !== undefined && `register every ${String(b["minimumRegisterIntervalInSeconds"])}s`,
  b["pruneThresholdInSeconds"] !== undefined && `prune after ${String(b["pruneThresholdInSeconds"])}s`,
];
const hello: Words = (b) => [say("id", b["id"], short), b["ip"] !== undefined && `${clean(String(b["ip"]))}${b["port"] === undefined ? "" : `:${String(b["port"])}`}`, say("version", b["version"])];
const room: Words = (b) => [
  say("id", b["id"], short), `memory ${megabytes(b["available_memory"])}`, b["available_disk"] !== undefined && `disk ${megabytes(b["available_disk"])}`,
  list(b["stacks"]).length > 0 && some(list(b["stacks"])), isBody(b["app_id_to_count"]) && `${Object.values(b["app_id_to_count"]).reduce<number>((sum, each) => sum + (Number(each) || 0), 0)} instances`,
  isBody(b["placement_properties"]) && say("zone", b["placement_properties"]["zone"]),
];
const start: Words = (b) => {
  const limits = isBody(b["limits"]) ? b["limits"] : {};
  return [
    quoted(b["name"]), say("#", b["index"]), say("app", b["droplet"], short), say("version", b["version"], short), list(b["uris"]).length > 0 && some(list(b["uris"])),
    `${megabytes(limits["mem"])}/${megabytes(limits["disk"])}`, say("command", b["start_command"], (each) => cut(clean(String(each)), 40)),
  ];
};
const component: Words = (b) => [text(b["type"]), say("#", b["index"]), say("at", b["host"]), say("up", b["uptime"])];
const outcome: Words = (b) => [b["success"] === true ? "success" : "failed", isBody(b["error"]) ? say("error", b["error"]["description"] ?? b["error"]["msg"] ?? b["error"]["code"]) : say("error", b["error"])];

const taskEnd: Words = (b) => [text(b["state"]), say("task", b["task_id"], short), say("app", b["droplet"], short), text(b["reason"]), b["duration_ms"] !== undefined && `${String(b["duration_ms"])} ms`];

/** One line for each kind of message; what is not here is shown field by field. */
const bodies: Readonly<Record<string, Words>> = {
  "router.start": router,
  "router.register": registration,
  "router.unregister": registration,
  "dea.start": hello,
  "dea.discover": start,
  "dea.{id}.start": start,
  "dea.stop": filter,
  "dea.update": (b) => [say("app", b["droplet"], short), list(b["uris"]).length > 0 ? some(list(b["uris"]), 5) : "no uris", say("version", b["version"], short)],
  "dea.find.droplet": (b) => [...filter(b), b["include_stats"] === true && "with stats", say("path", b["path"])],
  "dea.advertise": room,
  "staging.advertise": room,
  "dea.heartbeat": (b) => [say("from", b["dea"], short), heartbeat(entries(b["droplets"]))],
  "dea.shutdown": (b) => [say("id", b["id"], short), isBody(b["app_id_to_count"]) && `${Object.keys(b["app_id_to_count"]).length} apps to move`],
  "droplet.exited": (b) => [
    text(b["reason"]), say("instance", b["instance"], short), say("#", b["index"]), say("app", b["droplet"], short), b["exit_status"] !== undefined && `status ${String(b["exit_status"])}`, quoted(b["exit_description"]),
  ],
  "staging.{id}.start": (b) => [
    say("task", b["task_id"], short), say("app", b["app_id"], short), say("stack", b["stack"]),
    isBody(b["properties"]) && list(b["properties"]["buildpacks"]).length > 0 && `buildpacks ${some(list(b["properties"]["buildpacks"]))}`,
    b["memory_limit"] !== undefined && `${megabytes(b["memory_limit"])}/${megabytes(b["disk_limit"])}`,
  ],
  "dea.{id}.task": (b) => [say("task", b["task_id"], short), say("app", b["droplet"], short), say("command", b["command"], (each) => cut(clean(String(each)), 40))],
  "opencf.task.cancel": (b) => [say("task", b["task_id"], short)],
  "opencf.task.exited": taskEnd,
  "staging.stop": (b) => [say("app", b["app_id"], short), say("task", b["task_id"], short)],
  "hm9000.start": (b) => [say("app", b["droplet"], short), say("#", b["instance_index"]), say("version", b["version"], short)],
  "hm9000.stop": (b) => [say("app", b["droplet"], short), say("instance", b["instance_guid"], short), say("#", b["instance_index"]), b["is_duplicate"] === true && "duplicate"],
  "vcap.component.announce": component,
  "opencf.log": (b) => {
    const lines = entries(b["envelopes"]);
    const [first] = lines;
    return [`${lines.length} ${lines.length === 1 ? "line" : "lines"}`, first && say("of", first["source_id"], short), first && isBody(first["tags"]) && text(first["tags"]["source_type"]), first && quoted(first["payload"])];
  },
  "opencf.desired": (b) => [b["after"] === undefined ? "from the first" : say("after", b["after"], short), say("at most", b["limit"])],
};

/** The same for answers, by the subject of the request. */
const answers: Readonly<Record<string, Words>> = {
  "router.greet": router,
  "dea.discover": hello,
  "dea.status": (b) => [...hello(b), `used ${megabytes(b["used_memory"])} reserved ${megabytes(b["reserved_memory"])} of ${megabytes(b["max_memory"])}`, text(b["state"])],
  "dea.{id}.start": (b) => [b["accepted"] === true ? "accepted" : "refused", quoted(b["reason"])],
  "dea.{id}.task": (b) => [b["accepted"] === true ? "accepted" : "refused", quoted(b["reason"])],
  "opencf.task.find": taskEnd,
  "dea.find.droplet": (b) => {
    const stats = isBody(b["stats"]) ? b["stats"] : {};
    const usage = isBody(stats["usage"]) ? stats["usage"] : {};
    return [
      text(b["state"]), say("instance", b["instance"], short), say("#", b["index"]), say("on", b["dea"], short), stats["host"] !== undefined && address(stats),
      usage["mem"] !== undefined && `memory ${bytes(usage["mem"])}`, typeof usage["cpu"] === "number" && `cpu ${Math.round(usage["cpu"] * 100)}%`,
    ];
  },
  "staging.{id}.start": (b) => [
    "droplet_sha1" in b || "app_id" in b ? "done" : "set up", say("task", b["task_id"], short), text(b["detected_buildpack"]), b["droplet_size_bytes"] !== undefined && bytes(b["droplet_size_bytes"]),
    say("command", b["detected_start_command"], (each) => cut(clean(String(each)), 40)), say("error", b["error"]),
  ],
  "vcap.component.discover": component,
  "opencf.desired": (b) => [`${list(b["apps"]).length} apps`],
  "healthmanager.health": (b) => [say("app", b["droplet"], short), say("healthy", b["healthy"])],
  "{service}.provision.{node}": outcome,
  "{service}.unprovision.{node}": outcome,
  "{service}.bind.{node}": outcome,
  "{service}.unbind.{node}": outcome,
};

/** `2 RUNNING` `1 CRASHED`, with the instances where there are few. */
function heartbeat(droplets: readonly Body[]): string {
  if (droplets.length === 0) return "nothing runs here";
  if (droplets.length <= 2) return droplets.map((each) => `${String(each["state"] ?? "?")} ${short(each["instance"])} #${String(each["index"] ?? "?")} app ${short(each["droplet"])}`).join(", ");
  const states = new Map<string, number>();
  for (const each of droplets) states.set(String(each["state"]), (states.get(String(each["state"])) ?? 0) + 1);
  return [...states].sort(([a], [b]) => a.localeCompare(b)).map(([state, count]) => `${count} ${clean(state)}`).join(", ");
}

export interface SummaryOptions {
  /** Subject template of the catalogue. */
  message: string | null;
  /** Whether the body is an answer to it. */
  isAnswer: boolean;
}

/** What a message says, in one line without line ends. Secrets must be gone from the body already. */
export function summarize(body: unknown, { message, isAnswer }: SummaryOptions): string {
  if (body === "" || (isBody(body) && Object.keys(body).length === 0)) return "";
  if (isBody(body) && message !== null) {
    const words = (isAnswer ? answers : bodies)[message]?.(body).filter((each): each is string => typeof each === "string" && each !== "");
    if (words && words.length > 0) return words.join("  ");
  }
  return isBody(body) ? fields(body) : typeof body === "string" ? clean(body) : clean(JSON.stringify(body) ?? "");
}

/** `key=value` of everything that is short, then how much there is of the rest. */
function fields(body: Body): string {
  const rank = (value: unknown): number => (typeof value === "object" && value !== null ? 1 : 0);
  return Object.entries(body)
    .sort(([, a], [, b]) => rank(a) - rank(b))
    .map(([key, value]) => `${clean(key)}=${shown(key, value)}`)
    .join(" ");
}

function shown(key: string, value: unknown): string {
  if (Array.isArray(value)) return value.length <= 3 && value.every((each) => typeof each !== "object") ? `[${some(value, 3, short)}]` : `[${value.length}]`;
  if (isBody(value)) return `{${Object.keys(value).length}}`;
  if (/_ms$|Ms$/.test(key) && typeof value === "number" && value < 1e11) return duration(value);
  return typeof value === "string" && (value === "" || /\s/.test(value)) ? `"${cut(clean(value), 60)}"` : typeof value === "string" ? cut(short(value), 60) : String(value);
}
