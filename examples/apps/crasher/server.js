// Falls over on demand, to see how a platform picks apps up again.
//   GET /crash?status=3   ends with that exit status
//   CRASH_AFTER_MS=2000   ends by itself, again and again
import { createServer } from "node:http";

const instance = process.env.CF_INSTANCE_INDEX ?? "0";

function crash(status) {
  console.error(`instance ${instance} crashes with status ${status}`);
  process.exitCode = status;
  process.exit();
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://app");
  if (url.pathname.endsWith("/crash")) {
    response.end("goodbye\n", () => crash(Number(url.searchParams.get("status")) || 1));
    return;
  }
  response.end(`instance ${instance} is up for ${Math.round(process.uptime())} s; GET /crash ends it\n`);
});
server.listen(Number(process.env.PORT ?? 8080), () => console.log(`instance ${instance} listens`));
if (process.env.CRASH_AFTER_MS) setTimeout(() => crash(1), Number(process.env.CRASH_AFTER_MS));
process.once("SIGTERM", () => server.close(() => process.exit(0)));
