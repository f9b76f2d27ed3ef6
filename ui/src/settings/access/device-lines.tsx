/** Devices as lines of a list: those that wait and those that are in. Owns: their looks. Refuses to know: what the buttons lead to. */
import { Laptop, MoreHorizontal, Pencil, Trash2 } from "lucide-react";
import type { ReactNode } from "react";
import type { Device } from "../../http/identity.ts";
import type { WaitingDevice } from "../../http/pairing.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button, IconButton } from "../../parts/button.tsx";
import { Menu, MenuItem } from "../../parts/menu.tsx";

/** What a device is called: the name it was given, else the one it uses, else its program. */
export function deviceName(device: Pick<Device, "label" | "deviceName" | "clientId">): string {
  return device.label ?? device.deviceName ?? device.clientId;
}

function LineFrame(props: { name: ReactNode; facts: string[]; children: ReactNode }) {
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-6">
      <Laptop size={20} aria-hidden className="shrink-0 text-ink-3" />
      <div className="grid min-w-40 flex-1 grid-cols-1">
        <p className="flex flex-wrap items-center gap-x-2 gap-y-1 text-m font-medium">{props.name}</p>
        {props.facts.map((fact) => (
          <p key={fact} className="text-xs break-words text-ink-3">
            {fact}
          </p>
        ))}
      </div>
      <div className="flex gap-2 pl-9 sm:pl-0">{props.children}</div>
    </li>
  );
}

/** A device that asks to be let in. */
export function WaitingLine(props: {
  device: WaitingDevice;
  busy: boolean;
  onApprove: () => void;
  onReject: () => void;
}) {
  const words = useWords();
  const formats = useFormats();
  const { device } = props;
  const from = [device.platform, device.remoteIp, formats.moment(new Date(device.ts))];
  const facts = [
    from.filter(Boolean).join(" · "),
    words.access.wants(device.scopes.map((scope) => scope.replace(/^operator\./, "")).join(", ") || "–"),
  ];
  const name = (
    <>
      <span className="min-w-0 truncate">{device.displayName ?? device.clientId}</span>
      {device.isRepair ? <Badge>{words.access.again}</Badge> : null}
    </>
  );
  return (
    <LineFrame name={name} facts={facts}>
      <Button small tone="primary" disabled={props.busy} onClick={props.onApprove}>
        {words.access.letIn}
      </Button>
      <Button small disabled={props.busy} onClick={props.onReject}>
        {words.access.turnAway}
      </Button>
    </LineFrame>
  );
}

/** A device that is in; one's own names nobody it acts for. */
export function DeviceLine(props: {
  device: Device;
  own?: boolean;
  onRename?: () => void;
  onRemove: () => void;
}) {
  const words = useWords();
  const formats = useFormats();
  const { device } = props;
  const name = deviceName(device);
  const seen =
    device.lastUsedAtMs === null ? words.time.never : formats.moment(new Date(device.lastUsedAtMs));
  const facts = [
    props.own ? null : words.access.actsFor(device.displayName),
    device.platform,
    words.account.browserFacts(device.address ?? "–", seen),
  ];
  return (
    <LineFrame
      name={<span className="min-w-0 truncate">{name}</span>}
      facts={[facts.filter(Boolean).join(" · ")]}
    >
      {props.onRename ? (
        <Menu
          align="end"
          trigger={
            <IconButton small label={words.access.actions(name)}>
              <MoreHorizontal size={18} aria-hidden />
            </IconButton>
          }
        >
          <MenuItem icon={<Pencil size={16} aria-hidden />} onSelect={props.onRename}>
            {words.access.rename}
          </MenuItem>
          <MenuItem danger icon={<Trash2 size={16} aria-hidden />} onSelect={props.onRemove}>
            {words.act.remove}
          </MenuItem>
        </Menu>
      ) : (
        <Button small onClick={props.onRemove}>
          {words.act.remove}
        </Button>
      )}
    </LineFrame>
  );
}
