/** The shape that every part takes; see `ports.ts` of any package. */
export interface Logger {
  debug?(event: string, data?: object): void;
  info(event: string, data?: object): void;
  warn(event: string, data?: object): void;
  error(event: string, data?: object): void;
}

type Level = "info" | "warn" | "error";

export interface LoggerOptions {
  /** The least that is shown. Default `warn`. */
  level?: Level;
  /** JSON lines for machines in place of text for people. */
  json?: boolean;
  write?: (line: string) => void;
}

const order: readonly Level[] = ["info", "warn", "error"];

/** One line per event, on standard error. Values that look like secrets are not the logger's business: parts never hand them over. */
export function createLogger({ level = "warn", json = false, write = (line) => void process.stderr.write(line) }: LoggerOptions = {}, part = "paas"): Logger {
  const least = order.indexOf(level);
  const at = (own: Level) => (event: string, data: object = {}) => {
    if (order.indexOf(own) < least) return;
    const time = new Date().toISOString();
    if (json) return write(`${JSON.stringify({ time, level: own, part, event, ...data })}\n`);
    const details = Object.entries(data).map(([key, value]) => `${key}=${typeof value === "string" ? value : JSON.stringify(value)}`).join(" ");
    write(`${time.slice(11, 23)} ${own.padEnd(5)} ${part}: ${event} ${details}\n`);
  };
  return { info: at("info"), warn: at("warn"), error: at("error") };
}
