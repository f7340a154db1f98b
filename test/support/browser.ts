import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";

/** A Chromium on PATH, if there is one. */
export const chromium = ["chromium", "chromium-browser", "google-chrome"].find((name) => {
  try {
    execFileSync(name, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
});

export interface Page extends AsyncDisposable {
  /** The value of an expression in the page. */
  evaluate<T>(expression: string): Promise<T>;
  open(url: string): Promise<void>;
  /** What the page complained of: errors, refusals of its own policy. */
  readonly complaints: string[];
}

/** Opens a page in a real browser, spoken to over the DevTools protocol. */
export async function openPage(url: string, { width, height, dark = false, javaScript = true }: { width: number; height: number; dark?: boolean; javaScript?: boolean }): Promise<Page> {
  const profile = await mkdtemp(join(tmpdir(), "opencf-browser-"));
  const child = spawn(chromium ?? "chromium", ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", `--user-data-dir=${profile}`, "--remote-debugging-port=0", "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
  const end = async (): Promise<void> => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  try {
    const socket = new WebSocket(await debuggerUrl(child));
    await once(socket, "open");
    const waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
    const complaints: string[] = [];
    let loaded = (): void => undefined;
    let last = 0;
    socket.on("message", (data: Buffer) => {
      const message = JSON.parse(data.toString()) as { id?: number; method?: string; params?: Record<string, unknown>; result?: unknown };
      if (message.id !== undefined) waiting.get(message.id)?.(message);
      if (message.method === "Page.loadEventFired") loaded();
      if (message.method === "Runtime.exceptionThrown" || message.method === "Log.entryAdded") complaints.push(JSON.stringify(message.params));
    });
    const send = <T>(method: string, params: object = {}, sessionId?: string): Promise<T> => new Promise((done, fail) => {
      const id = ++last;
      waiting.set(id, ({ result, error }) => (error ? fail(new Error(`${method}: ${error.message}`)) : done(result as T)));
      socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    });
    const { targetId } = await send<{ targetId: string }>("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await send<{ sessionId: string }>("Target.attachToTarget", { targetId, flatten: true });
    const say = <T>(method: string, params: object = {}): Promise<T> => send(method, params, sessionId);
    await Promise.all([say("Page.enable"), say("Runtime.enable"), say("Log.enable")]);
    await say("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await say("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }] });
    await say("Emulation.setScriptExecutionDisabled", { value: !javaScript });
    const page: Page = {
      complaints,
      async open(address) {
        const done = new Promise<void>((resolve) => (loaded = resolve));
        await say("Page.navigate", { url: address });
        await done;
      },
      async evaluate<T>(expression: string) {
        const { result, exceptionDetails } = await say<{ result: { value: T }; exceptionDetails?: object }>("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
        if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
        return result.value;
      },
      async [Symbol.asyncDispose]() {
        socket.terminate();
        await end();
      },
    };
    await page.open(url);
    return page;
  } catch (error) {
    await end();
    throw error;
  }
}

function debuggerUrl(child: ChildProcess): Promise<string> {
  return new Promise((done, fail) => {
    let text = "";
    const timer = setTimeout(() => fail(new Error(`the browser did not start: ${text}`)), 20_000);
    child.stderr?.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      done(url);
    });
    child.once("exit", () => fail(new Error(`the browser ended: ${text}`)));
  });
}
