import { cfSuite } from "./support/cf-suite.ts";

cfSuite("cf");
