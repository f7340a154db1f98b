import { Agent, request } from "node:http";

export interface LoadOptions {
  readonly port: number;
  /** Requests at the same time. Default 12. */
  readonly clients?: number;
  readonly method?: "GET" | "POST";
}

export interface Load {
  readonly answered: number;
  /** What went wrong, by kind and how often. Empty when nothing did. */
  readonly failures: Readonly<Record<string, number>>;
  /** Lets the requests under way finish. */
  stop(): Promise<void>;
}

/** Requests to `app.example.com` one after the other on kept connections, until it is stopped; each must be answered with 200 and a whole body. */
export function startLoad({ port, clients = 12, method = "GET" }: LoadOptions): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const failures: Record<string, number> = {};
  let answered = 0;
  let stopped = false;
  const fail = (what: string): void => { failures[what] = (failures[what] ?? 0) + 1; };
  const once = (): Promise<void> => new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, agent, method, headers: { host: "app.example.com" } }, (answer) => {
      answer.resume();
      answer.on("error", () => undefined);
      answer.on("close", () => {
        if (answer.statusCode !== 200) fail(`${answer.statusCode} ${answer.headers["x-cf-routererror"] ?? ""}`);
        else if (!answer.complete) fail("cut");
        else answered += 1;
        resolve();
      });
    });
    asked.on("error", (error: NodeJS.ErrnoException) => {
      fail(error.code ?? error.message);
      resolve();
    });
    asked.end(method === "POST" ? "body" : undefined);
  });
  const running = Promise.all(Array.from({ length: clients }, async () => {
    while (!stopped) await once();
  }));
  return {
    get answered() { return answered; },
    failures,
    async stop() {
      stopped = true;
      await running;
      agent.destroy();
    },
  };
}
