/**
 * A tenant's folder as a whole. Owns: surveying it, and removing it so that it stays gone. Refuses to know: what is in it.
 */
import { createHash } from "node:crypto";
import type { Dirent } from "node:fs";
import { lstat, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** What is in a folder. */
export interface FolderSurvey {
  files: number;
  sizeBytes: number;
  /** SHA-256, hex, over path and size of every file in order: which files were there, without saying it. */
  sha256: string;
}

/** Look at every file below; links are not followed. A folder that is not there is empty. */
export async function surveyFolder(path: string): Promise<FolderSurvey> {
  const hash = createHash("sha256");
  const survey = { files: 0, sizeBytes: 0 };
  const visit = async (below: string): Promise<void> => {
    for (const entry of await entriesOf(join(path, below))) {
      const name = join(below, entry.name);
      if (entry.isDirectory()) {
        await visit(name);
        continue;
      }
      const size = await sizeOf(join(path, name));
      survey.files++;
      survey.sizeBytes += size;
      hash.update(`${JSON.stringify(name)} ${size}\n`);
    }
  };
  await visit("");
  return { ...survey, sha256: hash.digest("hex") };
}

/** Bytes of every file below; links are not followed, names at the top that `isLeftOut` names are passed over. */
export async function measureFolder(path: string, isLeftOut: (name: string) => boolean): Promise<number> {
  const visit = async (folder: string, isTop: boolean): Promise<number> => {
    let sum = 0;
    for (const entry of await entriesOf(folder)) {
      if (isTop && isLeftOut(entry.name)) continue;
      const name = join(folder, entry.name);
      sum += entry.isDirectory() ? await visit(name, false) : await sizeOf(name);
    }
    return sum;
  };
  return visit(path, true);
}

/**
 * Remove a folder and leave an empty file in its place: nothing can be made below a file, by no late write of no process.
 * Repeatable; whatever a crash left is finished.
 */
export async function entombFolder(path: string): Promise<void> {
  const parent = dirname(path);
  const doomed = `${path}.gone`;
  await mkdir(parent, { recursive: true, mode: 0o700 });
  await rm(doomed, { recursive: true, force: true });
  // ORDER: away from its name first, and the mark in its place before the long work: a write in between finds no folder.
  for (let tries = 0; !(await isFile(path)); tries++) {
    await rename(path, doomed).catch(ignoreMissing);
    await mark(path).catch((error: NodeJS.ErrnoException) => {
      // Somebody made the folder again in between.
      if ((error.code !== "EEXIST" && error.code !== "EISDIR") || tries > 10) throw error;
    });
    await rm(doomed, { recursive: true, force: true });
  }
  await flush(parent);
}

async function mark(path: string): Promise<void> {
  const handle = await open(path, "wx", 0o400);
  await handle.sync();
  await handle.close();
}

async function flush(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function isFile(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function sizeOf(path: string): Promise<number> {
  return lstat(path).then(
    (found) => found.size,
    () => 0,
  );
}

async function entriesOf(path: string): Promise<Dirent[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
  return entries.sort((left, right) => (left.name < right.name ? -1 : 1));
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}
