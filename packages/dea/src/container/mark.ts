/** Variable by which a process is known to be ours wherever it went: `owner/handle`. */
export const markVariable = "OPENCF_CONTAINER";
