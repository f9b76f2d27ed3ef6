/** Everything that opens the organization besides tokens: devices and people's browsers. Owns: the lists. Refuses to know: how they signed in. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Globe, Laptop, QrCode } from "lucide-react";
import { useCallback, useState } from "react";
import { shortAgent } from "../../account/browser-list.tsx";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { callKey } from "../../gateway/use-call.ts";
import { type Device, listCredentials, removeDevice, type TenantSession } from "../../http/identity.ts";
import { signMemberOut } from "../../http/people.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { ConfirmDialog } from "../../parts/dialog.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../../parts/states.tsx";
import { DeviceLine, deviceName } from "./device-lines.tsx";
import { RenameDevice } from "./rename-device.tsx";
import { SetupCodeDialog } from "./setup-code-dialog.tsx";
import { MayAskField, useDeviceNews, WaitingDevices } from "./waiting-devices.tsx";

function SessionLine(props: { session: TenantSession; onEnd: () => void }) {
  const words = useWords();
  const formats = useFormats();
  const { session } = props;
  const facts = [
    shortAgent(session.agent) ?? words.account.unknownBrowser,
    words.account.browserFacts(session.address ?? "–", formats.moment(new Date(session.lastSeenAtMs))),
  ];
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-6">
      <Globe size={20} aria-hidden className="shrink-0 text-ink-3" />
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="truncate text-m font-medium">{session.displayName}</p>
        <p className="text-xs break-words text-ink-3" title={session.agent ?? ""}>
          {facts.join(" · ")}
        </p>
      </div>
      <Button small onClick={props.onEnd}>
        {words.nav.signOut}
      </Button>
    </li>
  );
}

function DevicePart(props: {
  devices: Device[];
  onRename: (d: Device) => void;
  onRemove: (d: Device) => void;
}) {
  const words = useWords();
  const [coding, setCoding] = useState(false);
  return (
    <section className="grid gap-3">
      <div className="flex flex-wrap items-center justify-between gap-3">
        <h2 className="text-l font-semibold">{words.access.devices}</h2>
        <Button onClick={() => setCoding(true)}>
          <QrCode size={18} aria-hidden />
          {words.access.setupMake}
        </Button>
      </div>
      <Sheet>
        {props.devices.length === 0 ? (
          <Empty
            icon={<Laptop size={28} aria-hidden />}
            title={words.access.noDevices}
            hint={words.access.noDevicesHint}
          />
        ) : (
          <ul className="divide-y divide-line">
            {props.devices.map((device) => (
              <DeviceLine
                key={device.id}
                device={device}
                onRename={() => props.onRename(device)}
                onRemove={() => props.onRemove(device)}
              />
            ))}
          </ul>
        )}
        <div className="grid gap-3 border-t border-line px-4 py-4 sm:px-6">
          <MayAskField />
        </div>
      </Sheet>
      <SetupCodeDialog open={coding} onClose={() => setCoding(false)} />
    </section>
  );
}

function BrowserPart(props: { sessions: TenantSession[]; onEnd: (session: TenantSession) => void }) {
  const words = useWords();
  return (
    <section className="grid gap-3">
      <h2 className="text-l font-semibold">{words.access.browsers}</h2>
      <Sheet>
        {props.sessions.length === 0 ? (
          <Empty icon={<Globe size={28} aria-hidden />} title={words.access.noBrowsers} />
        ) : (
          <ul className="divide-y divide-line">
            {props.sessions.map((session) => (
              <SessionLine key={session.id} session={session} onEnd={() => props.onEnd(session)} />
            ))}
          </ul>
        )}
      </Sheet>
    </section>
  );
}

interface Doomed {
  title: string;
  what: string;
  action: string;
  end: () => Promise<unknown>;
}

/** The access tab. */
export function AccessTab() {
  const words = useWords();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [doomed, setDoomed] = useState<Doomed>();
  const [naming, setNaming] = useState<Device>();
  const answer = useQuery({
    queryKey: ["tenant", slug, "credentials"],
    queryFn: () => listCredentials(slug),
  });
  const refresh = useCallback(() => {
    void queries.invalidateQueries({ queryKey: callKey(slug, "device.pair.list") });
    return queries.invalidateQueries({ queryKey: ["tenant", slug, "credentials"] });
  }, [queries, slug]);
  useDeviceNews(refresh);
  if (answer.isError) {
    return <Problem title={words.access.failed} error={answer.error} onRetry={() => void answer.refetch()} />;
  }
  if (!answer.data) return <Skeleton lines={6} label={words.settings.access} />;
  const putOut = (device: Device) =>
    setDoomed({
      title: words.access.endTitle(deviceName(device)),
      what: words.access.endWhat,
      action: words.access.end,
      end: () => removeDevice(slug, device.deviceId),
    });
  const signOut = (session: TenantSession) =>
    setDoomed({
      title: words.access.signOutTitle(session.displayName),
      what: words.access.signOutWhat,
      action: words.nav.signOut,
      end: () => signMemberOut(slug, session.userId),
    });
  return (
    <div className="grid gap-6">
      <WaitingDevices />
      <DevicePart devices={answer.data.devices} onRename={setNaming} onRemove={putOut} />
      <BrowserPart sessions={answer.data.sessions} onEnd={signOut} />
      <RenameDevice device={naming} onClose={() => setNaming(undefined)} onDone={() => void refresh()} />
      <ConfirmDialog
        open={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={doomed?.title ?? ""}
        what={doomed?.what ?? ""}
        action={doomed?.action ?? ""}
        onConfirm={async () => {
          await doomed?.end();
          await refresh();
        }}
      />
    </div>
  );
}
