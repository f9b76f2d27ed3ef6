/**
 * Serving the Control UI. Owns: an exact map from paths to files read once, the page's security headers.
 * Refuses to know: what the pages do. SECURITY: no path is ever made from a request; what is not in the map is a page.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../../kernel/errors.ts";

interface Asset {
  bytes: Buffer;
  isCompressible: boolean;
  /** Made when it is first asked for. */
  compressed?: Promise<Buffer>;
  type: string;
  etag: string;
  isHashed: boolean;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".json": "application/json; charset=utf-8",
  ".webmanifest": "application/manifest+json",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** Addresses of pages outside of any tenant. */
const PAGES = ["/", "/login", "/join", "/new", "/ask", "/account", "/operator"];

/** What pages may load: nothing from elsewhere, no inline script. */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self' ws: wss:",
  "manifest-src 'self'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** Read all files of a built UI; null when there is none. */
export function readAssets(directory: string): ReadonlyMap<string, Asset> | null {
  try {
    const names = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    const assets = names.map((entry): [string, Asset] => {
      const file = join(entry.parentPath, entry.name);
      return [`/${file.slice(directory.length + 1).replaceAll("\\", "/")}`, readAsset(file)];
    });
    return new Map(assets);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw thrown;
  }
}

function readAsset(file: string): Asset {
  const bytes = readFileSync(file);
  const type = TYPES[extname(file)] ?? "application/octet-stream";
  const isText = /^(text|application\/(json|manifest)|image\/svg)/.test(type);
  return {
    bytes,
    isCompressible: isText && bytes.length > 1_024,
    type,
    etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`,
    isHashed: /-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/.test(file),
  };
}

/** Serve assets by their exact path, and the page for everything else a browser may open. */
export function registerUi(fastify: FastifyInstance, assets: ReadonlyMap<string, Asset>): void {
  const page = assets.get("/index.html");
  for (const [path, asset] of assets) {
    if (path !== "/index.html" && !path.endsWith(".map")) {
      fastify.get(path, (request, reply) => sendAsset(request, reply, asset));
    }
  }
  if (page === undefined) return;
  const sendPage = (request: FastifyRequest, reply: FastifyReply) => sendAsset(request, reply, page);
  for (const path of PAGES) fastify.get(path, sendPage);
  fastify.get("/operator/*", (request, reply) => {
    if (/^\/operator\/api(\/|$)/.test(request.ingress?.path ?? "")) {
      throw new AppError("not_found", "There is nothing here.");
    }
    return sendPage(request, reply);
  });
  fastify.get("/t/:tenantSlug", sendPage);
  fastify.get("/t/:tenantSlug/*", (request, reply) => {
    // A miss below the API is an error for programs, not a page.
    if (/^\/(api|rpc|v1|auth|assets)(\/|$)/.test(request.ingress?.path ?? "")) {
      throw new AppError("not_found", "There is nothing here.");
    }
    return sendPage(request, reply);
  });
}

async function sendAsset(request: FastifyRequest, reply: FastifyReply, asset: Asset): Promise<FastifyReply> {
  reply.headers({
    "content-type": asset.type,
    etag: asset.etag,
    "cache-control": asset.isHashed ? "public, max-age=31536000, immutable" : "no-cache",
    "content-security-policy": CSP,
    vary: "accept-encoding",
  });
  if (request.headers["if-none-match"] === asset.etag) return reply.status(304).send();
  const takesGzip = asset.isCompressible && /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
  if (!takesGzip) return reply.send(asset.bytes);
  asset.compressed ??= promisify(gzip)(asset.bytes, { level: 9 });
  return reply.header("content-encoding", "gzip").send(await asset.compressed);
}
