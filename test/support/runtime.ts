/** Runs once before all tests. Owns: refusing a runtime on which the results would mean nothing. */

/** Called by vitest. A plain shell runs the system's Node, which may be older than the one in node_modules. */
export default function assertRuntime(): void {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < 24) {
    throw new Error(
      `tests need Node 24, this is ${process.versions.node}; start them with npm test or npx vitest`,
    );
  }
}
