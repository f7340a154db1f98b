import { cfSuite } from "./support/cf-suite.ts";

// Two generations of the command line at once: `cf9` is where some installers put the newer one.
cfSuite("cf9");
