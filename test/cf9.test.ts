import { cfSuite } from "./support/cf-suite.ts";

// Two generations of the command line at once: `cf9` is where some installers put the newer one. With it apps are processes,
// while the other suite takes what the machine can.
cfSuite("cf9", { args: ["--backend", "process"] });
