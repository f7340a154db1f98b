import type { ExecOptions } from "../instance/exec.ts";

/**
 * How a command is spoken with over a WebSocket. Binary messages are bytes of a stream, after one byte that names it; text
 * messages are JSON.
 *
 *     client -> server   0x00 bytes: input · {"eof":true} · {"resize":{"columns":80,"rows":24}} · {"signal":"SIGINT"}
 *     server -> client   0x01 bytes: output · 0x02 bytes: error output · {"exit":{"code":0}} or {"exit":{"signal":"SIGKILL"}}
 *                        or {"error":{"code":"DEA_...","message":"..."}}; then the server closes with 1000, or 1011 after an error
 *
 * A client that closes ends the command.
 */
export const execProtocol = "opencf.exec.v1";

export const channels = { input: 0, output: 1, error: 2 } as const;

/** What a client may say beside input. */
export type ExecControl = { eof: true } | { resize: { columns: number; rows: number } } | { signal: NodeJS.Signals };

const signals: readonly string[] = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT", "SIGSTOP", "SIGTSTP", "SIGWINCH"];
const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) > 0 && (value as number) <= 10_000;

/** Reads a text message; undefined when it means nothing. */
export function parseControl(text: string): ExecControl | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { eof, resize, signal } = (value ?? {}) as { eof?: unknown; resize?: { columns?: unknown; rows?: unknown } | null; signal?: unknown };
  if (eof === true) return { eof };
  if (typeof signal === "string" && signals.includes(signal)) return { signal: signal as NodeJS.Signals };
  if (resize && isSize(resize.columns) && isSize(resize.rows)) return { resize: { columns: resize.columns, rows: resize.rows } };
  return undefined;
}

/** Program and arguments as a JSON list of words; anything else is none. */
function wordsOf(text: string | null): string[] {
  try {
    const words: unknown = JSON.parse(text ?? "[]");
    return Array.isArray(words) && words.every((word): word is string => typeof word === "string") ? words : [];
  } catch {
    return [];
  }
}

/** The command of a link or a request: `command`, or `argv` as a JSON list; `user`; `tty` with `columns` and `rows`. */
export function execOptionsOf(params: URLSearchParams): ExecOptions {
  const argv = wordsOf(params.get("argv"));
  const command = params.get("command");
  const user = params.get("user");
  const size = (name: string, fallback: number): number => (/^\d{1,5}$/.test(params.get(name) ?? "") ? Number(params.get(name)) : fallback);
  const hasTerminal = ["", "1", "true"].includes(params.get("tty") ?? "0");
  return {
    ...(command === null ? {} : { command }),
    ...(params.has("argv") ? { argv } : {}),
    ...(user === "root" || user === "vcap" ? { user } : {}),
    ...(hasTerminal ? { terminal: { columns: size("columns", 80), rows: size("rows", 24) } } : {}),
  };
}
