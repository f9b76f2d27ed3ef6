/** Pictures of the operators' surface. Owns: how each is reached. Refuses to know: looks and files. */
import { justProved } from "./people-pictures.ts";
import { at, type Picture } from "./picture.ts";
import type { Stage } from "./stage.ts";

type Act = "change" | "suspend" | "delete" | "look" | "endLook";

/** See the head of this file. */
export const OPERATOR_PICTURES: readonly Picture[] = [
  { name: "operator-tenants", whole: true, open: at("/operator") },
  { name: "operator-none", open: openNone },
  { name: "operator-create", open: openCreate },
  { name: "operator-created", open: openCreated },
  { name: "operator-tenant", whole: true, open: (stage) => openTenant(stage, "home") },
  { name: "operator-suspended", whole: true, open: (stage) => openTenant(stage, "east-quay") },
  { name: "operator-deleting", whole: true, open: (stage) => openTenant(stage, "salt-house") },
  { name: "operator-looking", whole: true, open: (stage) => openTenant(stage, "glass-works") },
  { name: "operator-act-change", open: (stage) => openAct(stage, "home", "change") },
  { name: "operator-act-suspend", open: (stage) => openAct(stage, "home", "suspend") },
  { name: "operator-act-delete", open: (stage) => openAct(stage, "home", "delete") },
  { name: "operator-act-look", open: (stage) => openAct(stage, "not-yours", "look") },
  { name: "operator-act-end", open: (stage) => openAct(stage, "glass-works", "endLook") },
  { name: "operator-tenant-unknown", open: at("/operator/tenants/never-was") },
  { name: "operator-audit", whole: true, open: at("/operator/audit") },
  { name: "operator-receipts-none", open: at("/operator/receipts") },
  { name: "operator-receipts", open: openReceipts },
  { name: "operator-not-found", open: at("/operator/never-was") },
  { name: "operator-not-one", who: "member", open: at("/operator") },
];

async function openNone(stage: Stage): Promise<void> {
  await stage.go("/operator");
  await stage.page.getByRole("searchbox").fill("atlantis");
  await stage.page.getByText(stage.words.operator.none).waitFor();
}

async function openCreate(stage: Stage): Promise<void> {
  await stage.go("/operator");
  await stage.press(stage.words.operator.create);
  await stage.page.getByLabel(stage.words.door.orgName).fill("Lighthouse Keepers");
}

/** The organization is made up, so that the list stays the same in all looks. */
async function openCreated(stage: Stage): Promise<void> {
  const ownerLink = `${stage.harbour.app.url}/join#invite=not-a-secret-TGlnaHRob3VzZQ`;
  await stage.page.route("**/operator/api/tenants", (route) =>
    route.request().method() === "POST"
      ? route.fulfill({ status: 201, json: { tenant: {}, ownerLink } })
      : route.continue(),
  );
  await openCreate(stage);
  await stage.press(stage.words.act.create);
  await stage.page.getByRole("dialog").locator("code").waitFor();
}

async function openTenant(stage: Stage, slug: string): Promise<void> {
  await justProved(stage);
  await stage.go(`/operator/tenants/${stage.harbour.town.tenants.get(slug)}`);
}

async function openAct(stage: Stage, slug: string, act: Act): Promise<void> {
  await openTenant(stage, slug);
  await stage.press(act === "delete" ? stage.words.act.delete : stage.words.operator[act]);
  await stage.page.getByRole("dialog").waitFor();
}

async function openReceipts(stage: Stage): Promise<void> {
  const deletedAtMs = Date.now() - 3 * 86_400_000;
  const receipt = { tenantId: "0199c1e2-7a40-7000-8000-3f2b8c11d2aa", slug: "old-cannery", deletedAtMs };
  await stage.page.route("**/operator/api/receipts", (route) =>
    route.fulfill({ json: { receipts: [{ ...receipt, signed: "header.claims.signature" }] } }),
  );
  await stage.go("/operator/receipts");
}
