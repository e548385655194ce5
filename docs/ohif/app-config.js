// OHIF with Yinghai: served by it under PATH, its data from /dicom-web of the same origin, its users those of its sign-in.
const signIn = () => location.replace('PATH/sign-in.html?to=' + encodeURIComponent(location.pathname + location.search));
fetch('/api/session').then(answer => answer.status === 401 && signIn());

window.config = {
  routerBasename: 'PATH',
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showLoadingIndicator: true,
  showWarningMessageForCrossOrigin: true,
  strictZSpacingForVolumeViewport: true,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  defaultDataSourceName: 'yinghai',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'yinghai',
      configuration: {
        friendlyName: 'Yinghai',
        name: 'yinghai',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        wadoUriRoot: '/wado',
        qidoSupportsIncludeField: true,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        enableStudyLazyLoad: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'thumbnail',
        thumbnailRequestStrategy: 'fetch',
        singlepart: 'bulkdata,video,pdf',
        dicomUploadEnabled: true,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: true },
      },
    },
  ],
  httpErrorHandler: error => error.status === 401 && signIn(),
};
