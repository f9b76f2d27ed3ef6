/**
 * Every page and state of the Control UI that is photographed. Owns: how each is reached. To add one, add a line.
 * Refuses to know: looks and files. What is written down anywhere (messages, tokens) comes last, so that the lists
 * on the pages before it stay the same in all looks.
 */
import { BILLING_PICTURES } from "./billing-pictures.ts";
import { OPERATOR_PICTURES } from "./operator-pictures.ts";
import { PEOPLE_PICTURES } from "./people-pictures.ts";
import { at, type Picture } from "./picture.ts";
import type { Stage } from "./stage.ts";
import { QUESTIONS } from "./stories.ts";

const chat = (name: string) => (stage: Stage) => stage.go(`/t/home/chat/main/${name}-${stage.look.language}`);

/** See the head of this file. */
export const PICTURES: readonly Picture[] = [
  { name: "sign-in-no-link", who: "nobody", open: openNoProviders },
  { name: "sign-in-link", who: "nobody", open: openSignInLink },
  { name: "sign-in-used-link", who: "nobody", open: openUsedLink },
  { name: "tenants", open: at("/") },
  { name: "tenants-none", who: "lonely", open: at("/") },
  { name: "tenant-foreign", open: at("/t/not-yours/") },
  { name: "tenant-suspended", open: at("/t/old-pier/") },
  { name: "tenant-first-name", open: openFirstName },
  { name: "signed-out-meanwhile", open: openSignedOut },
  { name: "server-away", open: openServerAway },
  { name: "chat-new", open: at("/t/home/") },
  { name: "chat-rich", whole: true, open: chat("rich") },
  { name: "chat-rich-end", open: chat("rich") },
  { name: "chat-tools-open", whole: true, open: openTools },
  { name: "chat-failed", open: chat("fails") },
  { name: "chat-demo", whole: true, open: at("/t/home/chat/main/seed-list") },
  { name: "chat-read-only", who: "reader", open: chat("rich") },
  { name: "chat-unknown", open: at("/t/home/chat/main/never-was") },
  { name: "chat-files", open: openFiles },
  { name: "commands", open: openCommands, leave: (stage) => stage.field().fill("") },
  { name: "model-menu", open: (stage) => openMenuOf(stage, stage.words.chat.model) },
  { name: "agent-menu", open: (stage) => openMenuOf(stage, stage.words.chat.agent) },
  { name: "side", open: openSide },
  { name: "side-search", open: (stage) => openSearch(stage, "net") },
  { name: "side-search-nothing", open: (stage) => openSearch(stage, "lobster thermidor") },
  { name: "side-conversation-menu", open: openConversationMenu },
  { name: "side-deleted", open: openDeleted, leave: undoDelete },
  { name: "side-tenant-menu", open: openTenantMenu },
  { name: "side-account-menu", open: openAccountMenu },
  { name: "usage", whole: true, open: at("/t/home/usage") },
  { name: "usage-table", whole: true, open: openUsageTable },
  { name: "usage-empty", open: at("/t/northern-herring/usage") },
  { name: "agents", open: at("/t/home/agents") },
  { name: "agent-files", whole: true, open: at("/t/home/agents/main") },
  { name: "agent-file-changed", open: openChangedFile },
  { name: "agent-other-file", whole: true, open: openOtherFile },
  { name: "agent-settings", whole: true, open: openAgentSettings },
  { name: "agent-create", open: openAgentCreate },
  { name: "agent-delete", open: openAgentDelete },
  { name: "agent-unknown", open: at("/t/home/agents/never-was") },
  { name: "settings-profile", whole: true, open: at("/t/home/settings") },
  { name: "settings-appearance", whole: true, open: at("/t/home/settings/appearance") },
  { name: "settings-tokens", whole: true, open: at("/t/home/settings/tokens") },
  { name: "settings-token-new", open: openTokenForm },
  { name: "settings-token-revoke", open: openRevoke },
  { name: "settings-models", whole: true, open: at("/t/home/settings/providers") },
  { name: "settings-model-new", open: openProviderForm },
  { name: "settings-model-edit", open: openProviderEdit },
  { name: "settings-model-remove", open: openProviderRemove },
  { name: "settings-forbidden", who: "member", open: at("/t/home/settings/tokens") },
  { name: "forbidden", who: "member", open: at("/t/home/agents") },
  { name: "not-found", open: at("/t/home/no-such-page") },
  ...PEOPLE_PICTURES,
  ...OPERATOR_PICTURES,
  ...BILLING_PICTURES,
  { name: "palette", open: (stage) => openPalette(stage, "") },
  { name: "palette-search", open: (stage) => openPalette(stage, "a") },
  { name: "shortcuts", open: openShortcuts },
  { name: "reconnecting", open: openReconnecting },
  { name: "settings-token-made", open: openTokenMade },
  { name: "chat-live", whole: true, open: openLive, leave: (stage) => stage.page.keyboard.press("Escape") },
];

async function openSignInLink(stage: Stage): Promise<void> {
  await stage.page.goto(await stage.harbour.link("owner"));
  await stage.page.getByRole("button", { name: stage.words.signIn.button }).waitFor();
}

async function openNoProviders(stage: Stage): Promise<void> {
  await stage.page.route("**/auth/providers", (route) =>
    route.fulfill({ json: { providers: [], link: true } }),
  );
  await stage.go("/login");
}

async function openUsedLink(stage: Stage): Promise<void> {
  await stage.page.goto(stage.harbour.usedLink);
  await stage.press(stage.words.signIn.button);
  await stage.page.getByRole("alert").waitFor();
}

async function openFirstName(stage: Stage): Promise<void> {
  await stage.page.route("**/auth/session", async (route) => {
    const answer = await route.fetch();
    const account = (await answer.json()) as { tenants: Record<string, unknown>[] };
    const tenants = account.tenants.map((tenant) => ({ ...tenant, needsName: true }));
    await route.fulfill({ response: answer, json: { ...account, tenants } });
  });
  await stage.go("/t/home/");
}

async function openSignedOut(stage: Stage): Promise<void> {
  await stage.page.route("**/auth/socket-token", (route) =>
    route.fulfill({ status: 401, json: { error: { code: "unauthenticated", message: "Signed out." } } }),
  );
  await stage.page.goto(`${stage.harbour.app.url}/t/home/`);
  await stage.page.getByText(stage.words.link.signedOutTitle).waitFor();
}

async function openServerAway(stage: Stage): Promise<void> {
  await stage.page.route("**/auth/session", (route) => route.abort());
  await stage.page.goto(`${stage.harbour.app.url}/`);
  await stage.page.getByRole("alert").waitFor();
}

async function openTools(stage: Stage): Promise<void> {
  await chat("rich")(stage);
  for (const summary of (await stage.page.locator("article summary").all()).slice(1)) await summary.click();
  await stage.page.locator("article details").nth(1).scrollIntoViewIfNeeded();
}

async function openFiles(stage: Stage): Promise<void> {
  await stage.go("/t/home/");
  await stage.page.locator("input[type=file]").setInputFiles([
    { name: "tides.txt", mimeType: "text/plain", buffer: Buffer.from("high at noon") },
    {
      name: "a-very-long-name-of-a-file-from-the-harbour-master.csv",
      mimeType: "text/csv",
      buffer: Buffer.from("a,b"),
    },
    { name: "huge.bin", mimeType: "application/octet-stream", buffer: Buffer.alloc(7 * 1024 * 1024) },
  ]);
  await stage.page.getByRole("alert").waitFor();
}

async function openCommands(stage: Stage): Promise<void> {
  await stage.go("/t/home/");
  await stage.field().fill("/");
  await stage.page.getByRole("list", { name: stage.words.chat.commands }).waitFor();
}

async function openMenuOf(stage: Stage, label: string): Promise<void> {
  await stage.go("/t/home/");
  await stage.page.getByRole("button", { name: `${label}:` }).click();
  await stage.page.getByRole("menu").waitFor();
}

async function openSide(stage: Stage): Promise<void> {
  await chat("rich")(stage);
  await stage.showSide();
}

async function openSearch(stage: Stage, text: string): Promise<void> {
  await stage.go("/t/home/");
  await stage.showSide();
  await stage.page.getByRole("searchbox").last().fill(text);
  await stage.page.waitForTimeout(500);
}

async function openConversationMenu(stage: Stage): Promise<void> {
  await stage.go("/t/home/");
  await stage.showSide();
  const line = stage.page.getByRole("link", { name: "Mending nets" }).last();
  await line.hover();
  await stage.page
    .getByRole("button", { name: stage.words.list.actions("Mending nets") })
    .last()
    .click();
  await stage.page.getByRole("menu").waitFor();
}

async function openDeleted(stage: Stage): Promise<void> {
  await openConversationMenu(stage);
  await stage.page.getByRole("menuitem", { name: stage.words.act.delete }).click();
  await stage.page.getByText(stage.words.list.deleted("Mending nets")).waitFor();
}

/** The open menu of a narrow page hides the toast from roles, so the button is found by its text. */
async function undoDelete(stage: Stage): Promise<void> {
  await stage.page.locator("button", { hasText: stage.words.act.undo }).click();
}

async function openTenantMenu(stage: Stage): Promise<void> {
  await stage.go("/t/northern-herring/");
  await stage.showSide();
  await stage.page
    .getByRole("button", { name: `${stage.words.nav.switchTenant}:` })
    .last()
    .click();
  await stage.page.getByRole("menu").waitFor();
}

async function openAccountMenu(stage: Stage): Promise<void> {
  await stage.go("/t/home/");
  await stage.showSide();
  await stage.page
    .getByRole("button", { name: `${stage.words.nav.account}:` })
    .last()
    .click();
  await stage.page.getByRole("menu").waitFor();
}

async function openUsageTable(stage: Stage): Promise<void> {
  await stage.go("/t/home/usage");
  await stage.press(stage.words.usage.showTable);
}

async function openChangedFile(stage: Stage): Promise<void> {
  await stage.go("/t/home/agents/main");
  await stage.page.getByRole("button", { name: /SOUL\.md/ }).click();
  const editor = stage.page.getByRole("textbox", { name: stage.words.agents.editing("SOUL.md") });
  await editor.fill(`# Soul\n\n${"You speak plainly and measure twice. ".repeat(8)}\n`);
}

async function openOtherFile(stage: Stage): Promise<void> {
  await stage.go("/t/home/agents/main");
  await stage.page.getByRole("button", { name: "landings", exact: true }).click();
  await stage.page.getByRole("button", { name: "week-47.csv" }).click();
  await stage.rest();
}

async function openAgentSettings(stage: Stage): Promise<void> {
  await stage.go("/t/home/agents/net-mender");
  await stage.page.locator("main").getByText(stage.words.agents.settings, { exact: true }).last().click();
  await stage.rest();
}

async function openAgentCreate(stage: Stage): Promise<void> {
  await stage.go("/t/home/agents");
  await stage.press(stage.words.agents.create);
}

async function openAgentDelete(stage: Stage): Promise<void> {
  await openAgentSettings(stage);
  await stage.press(stage.words.agents.deleteButton);
}

async function openTokenForm(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/tokens");
  await stage.press(stage.words.tokens.create);
}

async function openRevoke(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/tokens");
  await stage.press(stage.words.tokens.revoke);
}

async function openTokenMade(stage: Stage): Promise<void> {
  await openTokenForm(stage);
  await stage.page.getByLabel(stage.words.tokens.name, { exact: true }).fill("Laptop");
  await stage.press(stage.words.act.create);
  await stage.page.getByRole("dialog").locator("code").waitFor();
}

async function openProviderForm(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/providers");
  await stage.press(stage.words.providers.add);
}

async function openProviderEdit(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/providers");
  await stage.press(stage.words.act.edit);
}

async function openProviderRemove(stage: Stage): Promise<void> {
  await stage.go("/t/home/settings/providers");
  await stage.press(stage.words.act.remove);
}

async function openPalette(stage: Stage, text: string): Promise<void> {
  await chat("rich")(stage);
  await stage.page.keyboard.press("Control+k");
  await stage.page.getByRole("combobox").fill(text);
  await stage.page.waitForTimeout(500);
}

async function openShortcuts(stage: Stage): Promise<void> {
  await stage.go("/t/home/usage");
  await stage.page.keyboard.press("?");
  await stage.page.getByRole("dialog").waitFor();
}

async function openReconnecting(stage: Stage): Promise<void> {
  let isDown = false;
  const closers: (() => Promise<void>)[] = [];
  await stage.page.routeWebSocket(/\/t\/home$/, (socket) => {
    if (isDown) {
      void socket.close({ code: 1012 });
      return;
    }
    socket.connectToServer();
    closers.push(() => socket.close({ code: 1012 }));
  });
  await stage.go("/t/home/chat/main/seed-code");
  isDown = true;
  for (const close of closers) await close();
  await stage.page.getByText(stage.words.link.reconnecting).waitFor();
  await stage.field().fill(QUESTIONS.fails[stage.look.language]);
  await stage.press(stage.words.chat.send);
  await stage.page.getByText(stage.words.chat.waiting).waitFor();
}

async function openLive(stage: Stage): Promise<void> {
  const { theme, language, width } = stage.look;
  const name = `live-${theme}-${language}-${width}`.toLowerCase();
  await stage.harbour.conversation(name);
  await stage.go(`/t/home/chat/main/${name}`);
  await stage.field().fill(QUESTIONS.live[language]);
  await stage.press(stage.words.chat.send);
  await stage.page.getByText("06:30").waitFor();
}
