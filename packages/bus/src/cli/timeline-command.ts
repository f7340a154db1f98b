import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { painter } from "./color.ts";
import { connect, shownServers } from "./connect.ts";
import type { TapDocument } from "./document.ts";
import { listen } from "./listen.ts";
import { colorOf, type ConnectionValues } from "./options.ts";
import { isPattern } from "../subject.ts";
import { permissionsFor } from "../permissions.ts";
import type { Terminal } from "./terminal.ts";
import { anyStart, storyOf } from "./timeline-select.ts";
import { stepsOf } from "./timeline-steps.ts";
import { stepJson, timelineText } from "./timeline-text.ts";
import { duration } from "./text.ts";
import { Failure, milliseconds, Misuse } from "./usage.ts";
import { pause } from "./wait.ts";

export const timelineFlags = {
  timeline: { type: "string" },
  from: { type: "string" },
  quiet: { type: "string" },
  gap: { type: "string" },
  for: { type: "string" },
} as const;

export interface TimelineValues extends ConnectionValues {
  readonly timeline?: string | undefined;
  readonly from?: string | undefined;
  readonly quiet?: string | undefined;
  readonly gap?: string | undefined;
  readonly for?: string | undefined;
  readonly json?: boolean | undefined;
  readonly color?: string | undefined;
  readonly secrets?: boolean | undefined;
}

/** What is kept while nobody knows yet whether it belongs: the oldest goes first. */
const mostDocuments = 50_000;
const mostBytes = 64 * 1_048_576;
const lookEveryMs = 250;

/** `opencf-bus tap --timeline INSTANCE`: collects until the thing is settled, then shows it whole. */
export async function timeline(values: TimelineValues, patterns: readonly string[], terminal: Terminal): Promise<number> {
  const needle = values.timeline ?? "";
  if (needle.length < 3) throw new Misuse("--timeline takes an instance, an app, a trace, the first four characters of one, or any");
  for (const pattern of patterns) if (!isPattern(pattern)) throw new Misuse(`"${pattern}" is no subject pattern`);
  const gapMs = milliseconds(values.gap ?? "1s", "gap");
  const quietMs = milliseconds(values.quiet ?? "5s", "quiet");
  const forMs = values.for === undefined ? undefined : milliseconds(values.for, "for");
  const paint = painter(colorOf(values.color), terminal);
  const documents = values.from === undefined
    ? await collect({ needle, quietMs, forMs, patterns: patterns.length > 0 ? patterns : [">"], values }, terminal)
    : await saved(values.from, terminal);
  const story = storyOf(documents, needle);
  if (story.documents.length === 0) throw new Failure(needle === anyStart ? "no start was seen" : `nothing that belongs to ${needle} was seen, among ${documents.length} messages`);
  const steps = stepsOf(story);
  const lines = values.json ? steps.map(stepJson) : timelineText(story, steps, { gapMs, width: terminal.width, paint });
  for (const line of lines) terminal.out(line);
  return 0;
}

interface Collecting {
  needle: string;
  quietMs: number;
  forMs: number | undefined;
  patterns: readonly string[];
  values: TimelineValues;
}

async function collect({ needle, quietMs, forMs, patterns, values }: Collecting, terminal: Terminal): Promise<TapDocument[]> {
  let documents: TapDocument[] = [];
  let bytes = 0;
  let changed = false;
  await using transport = await connect(values, terminal);
  const ended = new AbortController();
  const signal = AbortSignal.any([terminal.signal, ended.signal]);
  using listening = listen(transport, {
    patterns, otherwise: permissionsFor("tool").subscribe.allow.filter((subject) => !subject.startsWith("_INBOX")), replies: true, everything: false, secrets: values.secrets ?? false, note: terminal.note,
    heard(document) {
      documents.push(document);
      bytes += document.bytes + 500;
      changed = true;
      if (documents.length <= mostDocuments && bytes <= mostBytes) return;
      // A quarter at a time, so that forgetting costs little.
      documents = documents.slice(Math.ceil(documents.length / 4));
      bytes = documents.reduce((sum, each) => sum + each.bytes + 500, 0);
    },
  });
  try {
    await Promise.race([transport.flush(), listening.failed]);
    terminal.note(`listening at ${shownServers(values, terminal.env)} for ${needle === anyStart ? "the next start" : needle}; ends ${duration(quietMs)} after the last that happens, or with Ctrl-C`);
    const startedMs = Date.now();
    let newsMs: number | undefined;
    let told = 0;
    while (!signal.aborted) {
      await Promise.race([pause(lookEveryMs, signal), listening.failed]);
      if (changed) {
        changed = false;
        const story = storyOf(documents, needle);
        const news = stepsOf(story).filter(({ isNews }) => isNews);
        if (news.length > 0) newsMs = Math.max(...news.map(({ document }) => Date.parse(document.at)));
        if (told === 0 && news.length > 0) terminal.note("it has begun");
        told = news.length;
      }
      if (newsMs !== undefined && Date.now() - newsMs >= quietMs) break;
      if (forMs !== undefined && Date.now() - startedMs >= forMs) break;
    }
  } finally {
    ended.abort();
  }
  return documents;
}

/** Lines of `tap --json`; other lines are counted and left out. `-` is standard input. */
async function saved(path: string, terminal: Terminal): Promise<TapDocument[]> {
  const documents: TapDocument[] = [];
  let strange = 0;
  const take = (line: string): void => {
    if (line.trim() === "") return;
    const document = documentIn(line);
    if (document) documents.push(document);
    else strange++;
  };
  if (path === "-") (await terminal.input()).split("\n").forEach(take);
  else
    try {
      for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) take(line);
    } catch (error) {
      throw new Misuse(`--from: ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`);
    }
  if (strange > 0) terminal.note(`${strange} lines of ${path} are not what tap --json writes; they were left out`);
  return documents;
}

const texts = ["message", "reply", "answers", "sender", "trace", "id", "cause"] as const;

function documentIn(line: string): TapDocument | undefined {
  try {
    const value = JSON.parse(line) as Record<string, unknown> | null;
    if (typeof value !== "object" || value === null || typeof value["subject"] !== "string" || typeof value["at"] !== "string" || Number.isNaN(Date.parse(value["at"]))) return undefined;
    const parts = Object.fromEntries(texts.map((name) => [name, typeof value[name] === "string" ? value[name] : null]));
    return {
      ...parts, at: value["at"], subject: value["subject"], valid: typeof value["valid"] === "boolean" ? value["valid"] : null, bytes: Number(value["bytes"]) || 0, body: value["body"] ?? "",
      ...(Array.isArray(value["issues"]) && { issues: value["issues"].map(String) }), ...(typeof value["status"] === "number" && { status: value["status"] }),
    } as TapDocument;
  } catch {
    return undefined;
  }
}
