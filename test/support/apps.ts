import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Writes files below a folder, which is made. */
export async function writeTree(folder: string, files: Record<string, string>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text, path.endsWith(".sh") ? { mode: 0o755 } : {});
  }
  return folder;
}

const server = `
const { createServer } = require("node:http");
const id = Math.random().toString(36).slice(2);
createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://app");
  console.log("asked for " + pathname);
  if (pathname === "/crash") process.exit(Number(searchParams.get("code") || 7));
  if (pathname === "/env") return response.end(JSON.stringify(process.env));
  if (pathname === "/id") return response.end(id);
  if (pathname === "/index") return response.end(process.env.CF_INSTANCE_INDEX || process.env.VCAP_APP_INSTANCE || "?");
  if (pathname === "/err") console.error("on the error stream");
  response.setHeader("content-type", "text/plain");
  response.end(GREETING);
}).listen(process.env.PORT, () => console.log("listening on " + process.env.PORT));
process.on("SIGTERM", () => { console.log("asked to end"); process.exit(0); });
`;

/** A web server in Node that greets, tells its environment (/env), its identity (/id, /index), and exits when asked (/crash). */
export const nodeApp = (greeting: string, more: Record<string, string> = {}): Record<string, string> => ({
  "package.json": JSON.stringify({ name: "greeter", version: "1.0.0", private: true, scripts: { start: "node server.js" } }),
  "server.js": server.replace("GREETING", JSON.stringify(greeting)),
  ...more,
});

export const staticApp = (text: string): Record<string, string> => ({ Staticfile: "", "index.html": `<p>${text}</p>\n` });
