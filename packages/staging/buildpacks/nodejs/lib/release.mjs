import { readPackage, startCommand } from "./package.mjs";

const build = process.argv[2];
const web = startCommand(build, readPackage(build));
process.stdout.write(`${JSON.stringify({ default_process_types: web === undefined ? {} : { web } })}\n`);
