/**
 * Pictures of how people come in, who is there, and what opens the organization. Owns: how each is reached.
 * Refuses to know: looks and files. Where a state would take another server or much waiting, the answer is made up here.
 */
import { at, type Picture } from "./picture.ts";
import type { Stage } from "./stage.ts";

/** See the head of this file. */
export const PEOPLE_PICTURES: readonly Picture[] = [
  { name: "sign-in", who: "nobody", open: at("/login") },
  { name: "sign-in-problem", who: "nobody", open: at("/login#problem=identity_taken") },
  { name: "sign-in-other-way", who: "nobody", open: openOtherWay },
  { name: "join-stranger", who: "nobody", open: (stage) => stage.go(stage.harbour.town.invitation) },
  { name: "join-signed-in", who: "lonely", open: (stage) => stage.go(stage.harbour.town.invitation) },
  { name: "join-tied", who: "lonely", open: (stage) => stage.go(stage.harbour.town.tiedInvitation) },
  { name: "join-refused", who: "lonely", open: openRefused },
  { name: "join-dead", who: "nobody", open: at("/join#invite=not-a-secret") },
  { name: "tenant-new", open: openNew },
  { name: "tenant-new-refused", who: "member", open: at("/new") },
  { name: "ask-to-join", who: "member", open: at("/ask") },
  { name: "ask-to-join-sent", who: "member", open: openAsked },
  { name: "members", whole: true, open: at("/t/home/members") },
  { name: "member-menu", open: openMemberMenu },
  { name: "member-invite", open: (stage) => openMembersDialog(stage, stage.words.members.invite) },
  { name: "member-invited", open: openInvited },
  { name: "member-service", open: (stage) => openMembersDialog(stage, stage.words.members.addService) },
  { name: "member-remove", open: (stage) => openMemberAct(stage, stage.words.act.remove) },
  { name: "member-offer", open: (stage) => openMemberAct(stage, stage.words.members.offer) },
  { name: "account", whole: true, open: openAccount },
  { name: "account-links-only", who: "lonely", whole: true, open: at("/account") },
  { name: "account-unlink", open: openUnlink },
  { name: "step-up-provider", open: (stage) => openStepUp(stage, true) },
  { name: "step-up-link", open: (stage) => openStepUp(stage, false) },
  { name: "audit", whole: true, open: at("/t/home/audit") },
  { name: "audit-line", open: openAuditLine },
  { name: "audit-checked", open: (stage) => openAuditCheck(stage) },
  { name: "audit-broken", open: openAuditBroken },
  { name: "audit-empty", open: openAuditEmpty },
  { name: "settings-organization", whole: true, open: at("/t/home/settings/organization") },
  { name: "settings-sign-in-form", open: openSignInForm },
  { name: "settings-sign-in-known", whole: true, open: openSignInKnown },
  { name: "settings-access", whole: true, open: at("/t/home/settings/access") },
  { name: "settings-access-empty", whole: true, open: at("/t/northern-herring/settings/access") },
  { name: "settings-device-menu", open: openDeviceMenu },
  { name: "settings-device-name", open: openDeviceName },
  { name: "settings-setup-code", open: openSetupCode },
  { name: "settings-own-token", open: openOwnToken },
  { name: "settings-everywhere", open: openEverywhere },
  { name: "notice-looks", open: at("/t/market-hall/") },
  { name: "notice-own-look", open: at("/t/glass-works/") },
  { name: "notice-read-only", open: at("/t/east-quay/") },
  { name: "notice-read-only-members", open: at("/t/east-quay/members") },
  { name: "notice-offer", open: at("/t/yuanyang/") },
  { name: "reader", who: "reader", open: at("/t/home/") },
];

async function openOtherWay(stage: Stage): Promise<void> {
  await stage.go("/login");
  await stage.page.getByText(stage.words.door.otherWay).click();
}

async function openRefused(stage: Stage): Promise<void> {
  await stage.go(stage.harbour.town.tiedInvitation);
  await stage.press(stage.words.door.join("Home"));
  await stage.page.getByRole("alert").waitFor();
}

async function openNew(stage: Stage): Promise<void> {
  await stage.go("/new");
  await stage.page.getByLabel(stage.words.door.orgName).fill("Fjörður Sea Farm & Smokehouse");
}

async function openAsked(stage: Stage): Promise<void> {
  await stage.go("/ask");
  await stage.page.getByLabel(stage.words.door.askSlug).fill("deep-water");
  await stage.press(stage.words.door.ask);
  await stage.page.getByText(stage.words.door.askedTitle).waitFor();
}

async function openMembersDialog(stage: Stage, label: string): Promise<void> {
  await stage.go("/t/home/members");
  await stage.press(label);
  await stage.page.getByRole("dialog").waitFor();
}

/** The invitation is made up, so that the list stays the same in all looks. */
async function openInvited(stage: Stage): Promise<void> {
  await stage.page.route("**/api/invitations", (route) =>
    route.fulfill({
      status: 201,
      json: { link: `${stage.harbour.app.url}/join#invite=not-a-secret-Qm9hdHMgYXJlIGJhY2s`, invitation: {} },
    }),
  );
  await openMembersDialog(stage, stage.words.members.invite);
  await stage.press(stage.words.members.makeLink);
  await stage.page.getByRole("dialog").locator("code").waitFor();
}

async function openMemberMenu(stage: Stage): Promise<void> {
  await stage.go("/t/home/members");
  await stage.press(stage.words.members.actions("Tom Baker"));
  await stage.page.getByRole("menu").waitFor();
}

async function openMemberAct(stage: Stage, act: string): Promise<void> {
  await openMemberMenu(stage);
  await stage.page.getByRole("menuitem", { name: act }).click();
  await stage.page.getByRole("dialog").waitFor();
}

/** Somebody with several ways in and several browsers. */
async function openAccount(stage: Stage): Promise<void> {
  await stage.page.route("**/auth/account", async (route) => {
    const answer = await route.fetch();
    const own = (await answer.json()) as Record<string, unknown>;
    await route.fulfill({ response: answer, json: { ...own, ...richAccount() } });
  });
  await stage.go("/account");
}

function richAccount() {
  const dayMs = 86_400_000;
  const now = Date.now();
  const identity = { emailVerified: false, upstream: null, email: null, displayName: null };
  const windows = "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0 Safari/537.36 Edg/140.0";
  const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) MicroMessenger/8.0.60";
  return {
    identities: [
      {
        ...{
          ...identity,
          id: "1",
          provider: "mcpmarket",
          label: "mcpmarket",
          icon: "key",
          upstream: "github",
        },
        ...{ displayName: "meichen", email: "mei.chen@example.com", emailVerified: true },
        ...{ linkedAtMs: now - 200 * dayMs, lastUsedAtMs: now - 3_600_000 },
      },
      {
        ...{
          ...identity,
          id: "2",
          provider: "wechat",
          label: "微信",
          icon: "wechat",
          displayName: "梅梅在海边",
        },
        ...{ linkedAtMs: now - 20 * dayMs, lastUsedAtMs: null },
      },
    ],
    linkable: [
      { id: "mcpmarket", label: "mcpmarket", icon: "key" },
      { id: "wechat", label: "微信", icon: "wechat" },
      { id: "github", label: "GitHub", icon: "github" },
    ],
    sessions: [
      {
        ...{ id: "1", isCurrent: true, method: "oidc", createdAtMs: now - dayMs, lastSeenAtMs: now - 9_000 },
        ...{ address: "203.0.113.7", agent: windows },
      },
      {
        ...{ id: "2", isCurrent: false, method: "oidc", createdAtMs: now - 9 * dayMs },
        ...{ lastSeenAtMs: now - 2 * dayMs, address: "2001:db8::7a2f:1", agent: phone },
      },
      {
        ...{ id: "3", isCurrent: false, method: "link", createdAtMs: now - 30 * dayMs },
        ...{ lastSeenAtMs: now - 30 * dayMs, address: null, agent: null },
      },
    ],
    suggestions: [{ provider: "github", label: "GitHub", email: "mei.chen@example.com" }],
  };
}

async function openUnlink(stage: Stage): Promise<void> {
  await openAccount(stage);
  await stage.press(stage.words.act.remove);
}

async function openStepUp(stage: Stage, withProviders: boolean): Promise<void> {
  await stage.page.route("**/auth/identities/link", (route) =>
    route.fulfill({
      status: 403,
      json: { error: { code: "step_up_required", message: "Sign in once more." } },
    }),
  );
  if (withProviders) await openAccount(stage);
  else await stage.go("/account");
  await stage.press(stage.words.account.add("GitHub"));
  await stage.page.getByRole("dialog").waitFor();
  await stage.rest();
}

async function openAuditLine(stage: Stage): Promise<void> {
  await stage.go("/t/home/audit");
  await stage.page.locator("main button[aria-expanded]").nth(1).click();
}

async function openAuditCheck(stage: Stage): Promise<void> {
  await stage.go("/t/home/audit");
  await stage.press(stage.words.audit.check);
  await stage.page.locator("main p[role=status]").waitFor();
}

async function openAuditBroken(stage: Stage): Promise<void> {
  const problem = { seq: 17, kind: "altered", message: "Row 17 does not match its hash." };
  await stage.page.route("**/api/audit/verify", (route) =>
    route.fulfill({ json: { ok: false, checked: 17, problem } }),
  );
  await openAuditCheck(stage);
}

async function openAuditEmpty(stage: Stage): Promise<void> {
  await stage.go("/t/home/audit");
  await stage.page.getByLabel(stage.words.audit.actorId).fill("nobody");
  await stage.page.getByText(stage.words.audit.empty).waitFor();
}

/** As if one had just proved who one is; a round of pictures takes longer than such a proof counts. */
export async function justProved(stage: Stage): Promise<void> {
  await stage.page.route("**/auth/session", async (route) => {
    const answer = await route.fetch();
    const account = (await answer.json()) as Record<string, unknown>;
    await route.fulfill({ response: answer, json: { ...account, authAtMs: Date.now() } });
  });
}

async function openSignInForm(stage: Stage): Promise<void> {
  await justProved(stage);
  await stage.go("/t/home/settings/organization");
  await stage.press(stage.words.ownSignIn.setUp);
}

async function openSignInKnown(stage: Stage): Promise<void> {
  const origin = "https://creel.example.com";
  const binding = "V7h2kQ9s_not_a_secret_Zt4";
  const provider = {
    ...{
      issuer: "https://login.harbour.example",
      clientId: "creel",
      label: "Harbour login",
      icon: "building",
    },
    defaultRole: "member",
    startLink: `${origin}/login?provider=${binding}`,
    redirectUri: `${origin}/auth/callback/${binding}`,
    backchannelLogoutUri: `${origin}/auth/backchannel-logout/${binding}`,
    postLogoutRedirectUri: `${origin}/login`,
  };
  await stage.page.route("**/api/sign-in-provider", (route) => route.fulfill({ json: { provider } }));
  await stage.go("/t/home/settings/organization");
}

async function openDeviceMenu(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/access");
  await stage.page.getByRole("button", { name: /harbour master/ }).click();
  await stage.page.getByRole("menu").waitFor();
}

async function openDeviceName(stage: Stage): Promise<void> {
  await openDeviceMenu(stage);
  await stage.page.getByRole("menuitem", { name: stage.words.access.rename }).click();
}

async function openSetupCode(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/access");
  await stage.press(stage.words.access.setupMake);
  await stage.page.getByRole("dialog").locator("code").waitFor();
}

async function openOwnToken(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings");
  await stage.press(stage.words.ownTokens.create);
}

async function openEverywhere(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings");
  await stage.press(stage.words.ownDevices.everywhere);
}
