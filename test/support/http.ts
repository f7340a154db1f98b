import { request } from "node:http";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export interface AskOptions {
  /** The Host header, where it differs from the address: how an app is asked for where its name does not resolve. */
  host?: string;
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Default 15 000 ms. */
  timeoutMs?: number;
}

/** One plain HTTP request on a connection of its own. */
export function ask(url: string, { host, method = "GET", headers = {}, body, timeoutMs = 15_000 }: AskOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent: false, headers: { ...headers, ...(host ? { host } : {}) }, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => { text += chunk; });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** What the router answers for a name nobody serves: 503 for a while after the last instance has gone, then 404. */
export const nobody: readonly number[] = [404, 503];
