import { isPattern } from "../subject.ts";
import { painter } from "./color.ts";
import { connect, shownServers } from "./connect.ts";
import type { TapDocument } from "./document.ts";
import { listen } from "./listen.ts";
import { colorOf, commonFlags, connectionFlags, parse } from "./options.ts";
import { tapLine } from "./tap-line.ts";
import { permissionsFor } from "../permissions.ts";
import type { Terminal } from "./terminal.ts";
import { timeline, timelineFlags } from "./timeline-command.ts";
import { milliseconds, Misuse, wholeNumber } from "./usage.ts";
import { pause } from "./wait.ts";

const flags = {
  ...connectionFlags, ...commonFlags, ...timelineFlags,
  "count": { type: "string" },
  "only-invalid": { type: "boolean" },
  "filter": { type: "string" },
  "replies": { type: "boolean" },
  "all": { type: "boolean" },
  "full": { type: "boolean" },
  "secrets": { type: "boolean" },
  "time": { type: "string" },
} as const;

/** `opencf-bus tap`: what goes by, as a person reads it. */
export async function tap(args: readonly string[], terminal: Terminal): Promise<number> {
  const { values, positionals } = parse(args, flags);
  if (values.timeline !== undefined) return timeline(values, positionals, terminal);
  if (values.from !== undefined || values.quiet !== undefined || values.gap !== undefined) throw new Misuse("--from, --quiet and --gap belong to --timeline INSTANCE");
  const patterns = positionals.length > 0 ? [...new Set(positionals)] : [">"];
  for (const pattern of patterns) if (!isPattern(pattern)) throw new Misuse(`"${pattern}" is no subject pattern: tokens between dots, * for one of them, > for all that follow`);
  const count = values.count === undefined ? Infinity : wholeNumber(values.count, "count");
  const forMs = values.for === undefined ? undefined : milliseconds(values.for, "for");
  const time = values.time ?? "start";
  if (!["start", "previous", "clock"].includes(time)) throw new Misuse(`--time takes start, previous or clock, not "${time}"`);
  const paint = painter(colorOf(values.color), terminal);
  const wanted = filterOf(values);

  const ended = new AbortController();
  const signal = AbortSignal.any([terminal.signal, ended.signal]);
  await using transport = await connect(values, terminal);
  let sinceMs = Date.now();
  const tally = { heard: 0, shown: 0, invalid: 0 };
  using listening = listen(transport, {
    patterns, otherwise: permissionsFor("tool").subscribe.allow.filter((subject) => !subject.startsWith("_INBOX")), replies: values.replies ?? false, everything: values.all ?? false, secrets: values.secrets ?? false, note: terminal.note,
    heard(document) {
      tally.heard++;
      if (document.valid === false) tally.invalid++;
      if (tally.shown >= count || !wanted(document)) return;
      tally.shown++;
      terminal.out(values.json ? JSON.stringify(document) : tapLine(document, { sinceMs: time === "clock" ? undefined : sinceMs, width: terminal.width, full: values.full ?? false, paint }));
      if (time === "previous") sinceMs = Date.parse(document.at);
      if (tally.shown >= count) ended.abort();
    },
  });
  try {
    await Promise.race([transport.flush(), listening.failed, pause(undefined, signal)]);
    if (!signal.aborted) terminal.note(`listening to ${patterns.join(" ")} at ${shownServers(values, terminal.env)}; waiting${forMs === undefined ? ", Ctrl-C ends" : ""}`);
    await Promise.race([pause(forMs, signal), listening.failed]);
  } finally {
    // Ends the timers that wait.
    ended.abort();
  }
  terminal.note(`${tally.heard} heard, ${tally.shown} shown, ${tally.invalid} invalid`);
  return 0;
}

function filterOf(values: { "only-invalid"?: boolean | undefined; filter?: string | undefined }): (document: TapDocument) => boolean {
  const text = values.filter?.toLowerCase();
  return (document) =>
    (!values["only-invalid"] || document.valid === false) &&
    (text === undefined || [document.subject, document.answers ?? "", document.sender ?? "", document.trace ?? "", JSON.stringify(document.body)].some((each) => each.toLowerCase().includes(text)));
}
