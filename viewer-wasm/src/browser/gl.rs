//! The stack viewport on WebGL2: values in integer textures, interpolation and window in the fragment shader.
//!
//! R16I and R16UI hold every stored value exactly; half floats would not, and 16-bit normalised textures are missing
//! from most browsers. Integer textures cannot be filtered by the card, so the shader interpolates.

use js_sys::{Float32Array, Int16Array, Object, Uint8Array, Uint16Array};
use pacs_core::pixel::VoiFunction;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{HtmlCanvasElement, WebGl2RenderingContext as Gl, WebGlProgram, WebGlTexture, WebGlUniformLocation};

use crate::camera::Placement;
use crate::picture::{Picture, Texels};
use crate::series::FrameKey;

/// Textures kept on the card, so that a turn back in the stack needs no upload.
const TEXTURES: usize = 24;

const VERTEX: &str = "#version 300 es
void main() { // one triangle over the whole canvas
  vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(corner, 0.0, 1.0);
}";

// PS3.3 C.11.2.1.2 and C.11.2.1.3; the same as pacs_core::pixel::voi_lut.
const FRAGMENT: &str = "
precision highp float;
precision highp int;
uniform highp SAMPLER image;
uniform vec2 canvas;     // device pixels
uniform vec4 placement;  // x, y, pixels a column, pixels a row
uniform vec2 rescale;    // slope, intercept
uniform vec2 window;     // center, width
uniform int voi;         // 0 linear, 1 linear exact, 2 sigmoid, 3 none
uniform bool smooth_pixels;
uniform bool inverted;
out vec4 colour;

vec3 texel(ivec2 at) {
  return vec3(texelFetch(image, clamp(at, ivec2(0), textureSize(image, 0) - 1), 0).SWIZZLE);
}
vec3 value(vec2 at) {
  if (!smooth_pixels) return texel(ivec2(floor(at)));
  vec2 corner = floor(at - 0.5);
  vec2 part = at - 0.5 - corner;
  ivec2 i = ivec2(corner);
  vec3 top = mix(texel(i), texel(i + ivec2(1, 0)), part.x);
  vec3 bottom = mix(texel(i + ivec2(0, 1)), texel(i + ivec2(1, 1)), part.x);
  return mix(top, bottom, part.y);
}
float tone(float x) {
  float c = window.x, w = window.y;
  if (voi == 2) return 1.0 / (1.0 + exp(-4.0 * (x - c) / w));
  if (voi == 1) return clamp((x - c) / w + 0.5, 0.0, 1.0);
  if (w <= 1.0) return x > c - 0.5 ? 1.0 : 0.0;
  return clamp((x - (c - 0.5)) / (w - 1.0) + 0.5, 0.0, 1.0);
}
void main() {
  vec2 pixel = vec2(gl_FragCoord.x, canvas.y - gl_FragCoord.y);
  vec2 at = (pixel - placement.xy) / placement.zw;
  vec2 size = vec2(textureSize(image, 0));
  if (any(lessThan(at, vec2(0.0))) || any(greaterThanEqual(at, size))) { colour = vec4(0.0, 0.0, 0.0, 1.0); return; }
  vec3 v = value(at);
  vec3 shown = voi == 3 ? v : vec3(tone(v.x * rescale.x + rescale.y));
  colour = vec4(inverted ? 1.0 - shown : shown, 1.0);
}";

/// Draws on one canvas.
pub struct Renderer {
    gl: Gl,
    /// For signed, unsigned and float samplers.
    programs: [Program; 3],
    textures: Vec<Texture>,
}

struct Program {
    program: WebGlProgram,
    uniforms: [Option<WebGlUniformLocation>; 8],
}

struct Texture {
    key: TextureKey,
    texture: WebGlTexture,
    sampler: usize,
}

/// Which texels a texture holds: values of a frame, or its rendered colours.
#[derive(Debug, Clone, PartialEq)]
pub struct TextureKey {
    pub frame: FrameKey,
    pub rendered: bool,
}

const UNIFORMS: [&str; 8] = ["canvas", "placement", "rescale", "window", "voi", "smooth_pixels", "inverted", "image"];

/// Sampler type and swizzle of the three programs.
const SAMPLERS: [(&str, &str); 3] = [("isampler2D", "rrr"), ("usampler2D", "rrr"), ("sampler2D", "rgb")];

impl Renderer {
    /// `None` where the browser has no WebGL2 or its driver cannot do what is needed.
    pub fn new(canvas: &HtmlCanvasElement) -> Option<Self> {
        let options = Object::new();
        for name in ["antialias", "alpha", "depth"] {
            js_sys::Reflect::set(&options, &name.into(), &JsValue::FALSE).ok()?;
        }
        // A canvas that keeps its pixels can be read by screenshots and tests at any time.
        js_sys::Reflect::set(&options, &"preserveDrawingBuffer".into(), &JsValue::TRUE).ok()?;
        let context = canvas.get_context_with_context_options("webgl2", &options).ok()??;
        let gl: Gl = context.dyn_into().ok()?;
        let program = |(sampler, swizzle)| Program::new(&gl, sampler, swizzle);
        let programs = [program(SAMPLERS[0])?, program(SAMPLERS[1])?, program(SAMPLERS[2])?];
        gl.pixel_storei(Gl::UNPACK_ALIGNMENT, 1);
        Some(Self { gl, programs, textures: Vec::new() })
    }

    /// The context was lost and is back: its programs and textures are gone, and no longer count as its own.
    pub fn is_rebuilt_by_browser(&self) -> bool {
        !self.gl.is_context_lost() && !self.gl.is_program(Some(&self.programs[0].program))
    }

    /// Frees all textures: nothing of a closed study stays on the card.
    pub fn forget(&mut self) {
        for held in self.textures.drain(..) {
            self.gl.delete_texture(Some(&held.texture));
        }
    }

    pub fn clear(&self) {
        self.gl.clear_color(0.0, 0.0, 0.0, 1.0);
        self.gl.clear(Gl::COLOR_BUFFER_BIT);
    }

    /// Draws `picture`; `placement` is in device pixels of a canvas of `size`.
    pub fn draw(
        &mut self,
        key: TextureKey,
        picture: &Picture<'_>,
        placement: Placement,
        smooth: bool,
        size: [u32; 2],
    ) -> Option<()> {
        let at = self.texture(key, picture)?;
        let Texture { texture, sampler, .. } = &self.textures[at];
        let (gl, program) = (&self.gl, &self.programs[*sampler]);
        gl.viewport(0, 0, size[0] as i32, size[1] as i32);
        gl.use_program(Some(&program.program));
        gl.active_texture(Gl::TEXTURE0);
        gl.bind_texture(Gl::TEXTURE_2D, Some(texture));
        program.set(gl, picture, placement, smooth, size);
        gl.draw_arrays(Gl::TRIANGLES, 0, 3);
        Some(())
    }

    /// Index of the texture, uploaded if it is not there; the one longest unused goes.
    fn texture(&mut self, key: TextureKey, picture: &Picture<'_>) -> Option<usize> {
        match self.textures.iter().position(|held| held.key == key) {
            Some(at) => {
                let held = self.textures.remove(at);
                self.textures.push(held);
            }
            None => {
                if self.textures.len() >= TEXTURES {
                    let oldest = self.textures.remove(0);
                    self.gl.delete_texture(Some(&oldest.texture));
                }
                let (texture, sampler) = upload(&self.gl, picture)?;
                self.textures.push(Texture { key, texture, sampler });
            }
        }
        self.textures.len().checked_sub(1)
    }
}

fn upload(gl: &Gl, picture: &Picture<'_>) -> Option<(WebGlTexture, usize)> {
    let (internal, format, kind, data, sampler): (u32, u32, u32, Object, usize) = match &picture.texels {
        Texels::I16(v) => (Gl::R16I, Gl::RED_INTEGER, Gl::SHORT, Int16Array::from(&v[..]).into(), 0),
        Texels::U16(v) => (Gl::R16UI, Gl::RED_INTEGER, Gl::UNSIGNED_SHORT, Uint16Array::from(&v[..]).into(), 1),
        Texels::F32(v) => (Gl::R32F, Gl::RED, Gl::FLOAT, Float32Array::from(&v[..]).into(), 2),
        Texels::Rgb8(v) => (Gl::RGB8, Gl::RGB, Gl::UNSIGNED_BYTE, Uint8Array::from(&v[..]).into(), 2),
    };
    let texture = gl.create_texture()?;
    gl.bind_texture(Gl::TEXTURE_2D, Some(&texture));
    for (parameter, value) in [
        (Gl::TEXTURE_MIN_FILTER, Gl::NEAREST),
        (Gl::TEXTURE_MAG_FILTER, Gl::NEAREST),
        (Gl::TEXTURE_WRAP_S, Gl::CLAMP_TO_EDGE),
        (Gl::TEXTURE_WRAP_T, Gl::CLAMP_TO_EDGE),
    ] {
        gl.tex_parameteri(Gl::TEXTURE_2D, parameter, value as i32);
    }
    gl.tex_image_2d_with_i32_and_i32_and_i32_and_format_and_type_and_opt_array_buffer_view(
        Gl::TEXTURE_2D,
        0,
        internal as i32,
        i32::from(picture.columns),
        i32::from(picture.rows),
        0,
        format,
        kind,
        Some(&data),
    )
    .ok()?;
    Some((texture, sampler))
}

impl Program {
    fn new(gl: &Gl, sampler: &str, swizzle: &str) -> Option<Self> {
        let fragment = format!("#version 300 es\n{}", FRAGMENT.replace("SAMPLER", sampler).replace("SWIZZLE", swizzle));
        let program = gl.create_program()?;
        for (kind, source) in [(Gl::VERTEX_SHADER, VERTEX), (Gl::FRAGMENT_SHADER, &fragment)] {
            let shader = gl.create_shader(kind)?;
            gl.shader_source(&shader, source);
            gl.compile_shader(&shader);
            gl.attach_shader(&program, &shader);
        }
        gl.link_program(&program);
        if !gl.get_program_parameter(&program, Gl::LINK_STATUS).is_truthy() {
            return None;
        }
        let uniforms = UNIFORMS.map(|name| gl.get_uniform_location(&program, name));
        Some(Self { program, uniforms })
    }

    fn set(&self, gl: &Gl, picture: &Picture<'_>, placement: Placement, smooth: bool, size: [u32; 2]) {
        let [canvas, place, rescale, window, voi, smooth_pixels, inverted, image] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|at: usize| self.uniforms[at].as_ref());
        gl.uniform2f(canvas, size[0] as f32, size[1] as f32);
        let Placement { x, y, column_px, row_px } = placement;
        gl.uniform4f(place, x as f32, y as f32, column_px as f32, row_px as f32);
        gl.uniform1i(smooth_pixels, i32::from(smooth));
        gl.uniform1i(inverted, i32::from(picture.inverted));
        gl.uniform1i(image, 0);
        let Some(tone) = &picture.tone else {
            gl.uniform1i(voi, 3);
            return;
        };
        gl.uniform2f(rescale, tone.slope as f32, tone.intercept as f32);
        gl.uniform2f(window, tone.window.center as f32, tone.window.width as f32);
        let function = match tone.window.function {
            VoiFunction::Linear => 0,
            VoiFunction::LinearExact => 1,
            VoiFunction::Sigmoid => 2,
        };
        gl.uniform1i(voi, function);
    }
}
