// Works without a port: push it with --no-route, or scale the process type worker.
const instance = process.env.CF_INSTANCE_INDEX ?? "0";
let done = 0;

const timer = setInterval(() => console.log(`worker ${instance} has done ${++done} jobs`), 5_000);
console.log(`worker ${instance} starts`);

process.once("SIGTERM", () => {
  clearInterval(timer);
  console.log(`worker ${instance} stops after ${done} jobs`);
});
