// Counts visits in memory and sets JSESSIONID, so a router sends a visitor back to the instance that knows him.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

const instance = process.env.CF_INSTANCE_INDEX ?? "0";
const visits = new Map();

const server = createServer((request, response) => {
  const known = /(?:^|;\s*)JSESSIONID=([\w-]+)/.exec(request.headers.cookie ?? "")?.[1];
  const session = known !== undefined && visits.has(known) ? known : randomUUID();
  const count = (visits.get(session) ?? 0) + 1;
  if (visits.size > 10_000) visits.clear();
  visits.set(session, count);
  response.writeHead(200, {
    "content-type": "application/json",
    ...(session !== known && { "set-cookie": `JSESSIONID=${session}; Path=/; HttpOnly; SameSite=Lax` }),
  });
  response.end(`${JSON.stringify({ instance, visits: count })}\n`);
});
server.listen(Number(process.env.PORT ?? 8080), () => console.log(`instance ${instance} listens`));
process.once("SIGTERM", () => server.close(() => process.exit(0)));
