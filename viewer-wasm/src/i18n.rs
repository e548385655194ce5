//! The words on the screen, in Simplified Chinese and English.

/// Interface language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    English,
    Chinese,
}

impl Language {
    /// From a BCP 47 tag such as `navigator.language`: every `zh…` is Chinese, the rest English.
    pub fn of_tag(tag: &str) -> Self {
        if tag.to_ascii_lowercase().starts_with("zh") { Self::Chinese } else { Self::English }
    }

    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    pub const fn other(self) -> Self {
        match self {
            Self::English => Self::Chinese,
            Self::Chinese => Self::English,
        }
    }

    pub const fn text(self, text: Text) -> &'static str {
        let (english, chinese) = text.pair();
        match self {
            Self::English => english,
            Self::Chinese => chinese,
        }
    }
}

// One table gives the enum, the translation and the list the test walks: a key cannot lack a language.
macro_rules! texts {
    ($($key:ident: $english:literal, $chinese:literal;)+) => {
        /// Every text of the interface.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Text { $($key),+ }

        impl Text {
            pub const ALL: &'static [Self] = &[$(Self::$key),+];

            const fn pair(self) -> (&'static str, &'static str) {
                match self { $(Self::$key => ($english, $chinese)),+ }
            }
        }
    };
}

texts! {
    Product: "Yinghai", "影海";
    Tagline: "Medical image archive", "医学影像归档与阅片";
    OtherLanguage: "中文", "English";
    SwitchLanguage: "Switch to Chinese", "切换为英文";
    SignIn: "Sign in", "登录";
    SignOut: "Sign out", "退出登录";
    User: "User", "用户名";
    Password: "Password", "密码";
    SigningIn: "Signing in…", "正在登录…";
    WrongPassword: "User or password is not right.", "用户名或密码不正确。";
    SessionEnded: "The session has ended. Sign in to go on.", "登录已过期，请重新登录。";
    FirstPassword: "The first password was printed when the server started.", "初始密码在服务器首次启动时打印于终端。";
    Insecure: "Trial mode: no sign-in", "试用模式：未启用登录";
    Offline: "The server does not answer. Trying again…", "服务器无响应，正在重试…";
    Close: "Close", "关闭";
    SearchHint: "Patient name, ID or accession number", "姓名、患者号或检查号";
    Search: "Search", "搜索";
    ClearFilters: "Clear filters", "清除筛选";
    AnyDate: "Any date", "全部日期";
    Today: "Today", "今天";
    ThreeDays: "3 days", "3天";
    Week: "7 days", "7天";
    Month: "30 days", "30天";
    From: "From", "从";
    To: "To", "至";
    Modality: "Modality", "检查类型";
    Patient: "Patient", "姓名";
    PatientId: "Patient ID", "患者号";
    Male: "M", "男";
    Female: "F", "女";
    OtherSex: "O", "其他";
    StudyDate: "Study date", "检查日期";
    Description: "Description", "检查描述";
    Accession: "Accession", "检查号";
    Images: "Images", "图像";
    NoName: "(no name)", "（无姓名）";
    LoadMore: "Load more", "加载更多";
    Loading: "Loading…", "正在加载…";
    NoStudies: "No studies yet", "还没有检查";
    NoStudiesHint: "Push one from a scanner, a workstation or the command line:", "请从设备、工作站或命令行推送一个检查：";
    AppearByThemselves: "New studies appear here by themselves.", "新检查会自动出现在此处。";
    NoMatches: "No study matches", "没有符合条件的检查";
    Live: "Live", "实时";
    NotLive: "Reconnecting", "重新连接中";
    Back: "Back to the study list", "返回检查列表";
    SeriesList: "Series", "序列";
    NoImages: "No images", "无图像";
    NoImagesInStudy: "This study has no images to show.", "该检查没有可显示的图像。";
    LoadingSlice: "Loading image", "正在加载图像";
    CannotShow: "This image cannot be shown", "无法显示该图像";
    Presets: "Window presets", "窗宽窗位预设";
    Lung: "Lung", "肺窗";
    Mediastinum: "Mediastinum", "纵隔窗";
    Bone: "Bone", "骨窗";
    Brain: "Brain", "脑窗";
    Abdomen: "Abdomen", "腹窗";
    DefaultWindow: "Default", "默认";
    Invert: "Invert", "反相";
    Reset: "Reset", "重置";
    Cine: "Cine", "电影播放";
    Stop: "Stop", "停止";
    FramesPerSecond: "Frames per second", "每秒帧数";
    Fit: "Fit to window", "适应窗口";
    OneToOne: "One image pixel to one screen pixel", "一比一显示";
    Smooth: "Smooth pixels", "平滑插值";
    Help: "Keys and mouse", "快捷键与鼠标";
    Slice: "Image", "图像";
    Slices: "Choose image", "选择图像";
    Location: "Location", "位置";
    WindowLevel: "W/L", "窗宽/窗位";
    ZoomLabel: "Zoom", "缩放";
    Thickness: "Thickness", "层厚";
    Lossy: "Lossy compressed", "有损压缩";
    AtDetector: "at detector", "探测器平面";
    Findings: "AI findings", "AI 发现";
    NoFindings: "No AI result for this study yet.", "该检查尚无 AI 结果。";
    NothingFound: "The AI marked nothing in this study.", "AI 未在该检查中标记任何发现。";
    NotForClinicalUse: "demonstration, not for clinical use", "仅供演示，不得用于临床";
    LongAxis: "Long axis", "长径";
    ShortAxis: "Short axis", "短径";
    Volume: "Volume", "体积";
    Confidence: "Confidence", "置信度";
    Estimated: "size estimated", "大小为估计值";
    ShowFindings: "Show findings on the image", "在图像上显示发现";
    GoToFinding: "Go to finding", "跳转到发现";
    KeyScroll: "Scroll through images", "翻阅图像";
    KeyFirstLast: "First, last image", "第一张、最后一张";
    KeyPage: "Ten images on, back", "前进、后退十张";
    KeyWindow: "Window width and level", "窗宽与窗位";
    KeyZoom: "Zoom", "缩放";
    KeyPan: "Pan", "平移";
    KeyPresets: "Window presets", "窗宽窗位预设";
    KeyFinding: "Next, previous finding", "下一个、上一个发现";
    KeyBack: "Back to the study list", "返回检查列表";
    KeyHelp: "This page", "本页";
    Devices: "Devices", "设备管理";
    AddDevice: "Add device", "添加设备";
    NoDevices: "No application entity yet", "还没有应用实体";
    NoDevicesHint: "Add the scanners and workstations that may call, and those that are called.", "请添加允许连接的影像设备与工作站，以及需要连接的对方节点。";
    AeTitle: "AE title", "AE 标题";
    Address: "Address", "地址";
    Host: "Host", "主机";
    Port: "Port", "端口";
    Rights: "May", "权限";
    Store: "Store", "存储";
    Find: "Search", "查询";
    Retrieve: "Retrieve", "获取";
    Worklist: "Worklist", "工作列表";
    WorklistNone: "None", "不可查看";
    WorklistOwn: "Its own steps", "仅本设备的检查";
    WorklistAll: "All steps", "全部检查";
    ReportSteps: "Report steps (MPPS)", "上报检查进度（MPPS）";
    Workitems: "Workitems (UPS)", "工作项（UPS）";
    HearsOfSeries: "Hears of complete series", "接收序列完成通知";
    ByTls: "Called by TLS", "以 TLS 连接";
    Sees: "Sees only", "可见范围";
    Associations: "Associations at most", "最大连接数";
    Certificate: "Client certificate", "客户端证书";
    Connection: "Connection", "连接";
    EchoHint: "Call it with a C-ECHO", "发送 C-ECHO 测试连接";
    Calling: "Calling…", "正在连接…";
    Answered: "Answered in", "已响应";
    NoAnswer: "No answer:", "无响应：";
    Change: "Change", "修改";
    Remove: "Remove", "删除";
    RemoveReally: "Really remove?", "确认删除？";
    Save: "Save", "保存";
    Cancel: "Cancel", "取消";
    KeySearch: "Search (study list)", "搜索（检查列表）";
    KeyOpen: "Choose and open a study (study list)", "选择并打开检查（检查列表）";
    LeftDrag: "left drag", "左键拖动";
    RightDrag: "right drag, Ctrl+wheel, pinch", "右键拖动、Ctrl+滚轮、双指捏合";
    MiddleDrag: "middle drag, Space+drag, two fingers", "中键拖动、空格+拖动、双指拖动";
    WheelDrag: "wheel, ↑ ↓, one finger", "滚轮、↑ ↓、单指滑动";
    ErrorForbidden: "This account may not see this.", "当前账号无权查看。";
    ErrorNotFound: "It is not in the archive (any more).", "归档中没有（或已删除）该内容。";
    ErrorNoPicture: "There is no still picture in it, such as in a video, or it was deleted.", "其中没有静态图像（例如视频），或已删除。";
    ErrorServer: "The server could not answer.", "服务器出错。";
    ErrorAnswer: "The server answered in a way this viewer does not understand.", "无法理解服务器的应答。";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_both_languages() {
        for text in Text::ALL {
            let (english, chinese) = text.pair();
            assert!(!english.trim().is_empty() && !chinese.trim().is_empty(), "{text:?}");
        }
    }

    #[test]
    fn chinese_is_written_in_chinese() {
        let chinese = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        for text in Text::ALL.iter().filter(|text| **text != Text::OtherLanguage) {
            assert!(chinese(text.pair().1), "{text:?}");
        }
    }

    #[test]
    fn any_chinese_locale_gets_chinese() {
        for (tag, language) in
            [("zh", Language::Chinese), ("zh-Hant-TW", Language::Chinese), ("ZH-cn", Language::Chinese)]
        {
            assert_eq!(Language::of_tag(tag), language);
        }
        for tag in ["en", "de-AT", ""] {
            assert_eq!(Language::of_tag(tag), Language::English);
        }
    }
}
