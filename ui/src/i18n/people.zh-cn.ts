/** Words about people, accounts and signing in, in Simplified Chinese. Part of the dictionary in zh-cn.ts. */
import type { peopleEn } from "./people.en.ts";

/** Simplified Chinese, the people's part. */
export const peopleZhCN: typeof peopleEn = {
  stepUp: {
    title: "请确认是你本人",
    hint: "此操作无法撤销，请再登录一次。登录后会回到本页。",
    with: (label: string) => `使用 ${label} 继续`,
    linkHint: "你是用一次性链接登录的。请在本浏览器中打开一个新链接；在服务器上运行此命令即可获得：",
    failed: "再次登录未成功",
  },
};
